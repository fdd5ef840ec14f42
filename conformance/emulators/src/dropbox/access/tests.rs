use super::*;

const VERIFIER: &str = "0123456789-0123456789.0123456789_0123456789~";
const SECRET: Client<'_> = Client { key: "key", secret: Some("secret") };
const PUBLIC: Client<'_> = Client { key: "key", secret: None };

fn desk() -> Desk {
    let mut desk = Desk::default();
    let (key, secret) = ("key".to_owned(), "secret".to_owned());
    desk.add_app(App { key, secret, redirect_uris: Vec::new(), folder: None });
    desk
}

fn request(challenge: Option<&str>) -> CodeRequest {
    let challenge = challenge.map(|verifier| (URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)), true));
    let scopes = vec!["files.content.read".to_owned()];
    CodeRequest { app_key: "key".into(), redirect_uri: Some("uri".into()), scopes, is_offline: true, challenge }
}

fn exchange(
    desk: &mut Desk,
    asked: CodeRequest,
    client: Client<'_>,
    verifier: Option<&str>,
) -> Result<Issued, GrantError> {
    let code = desk.allow(asked, 0);
    desk.exchange(client, &code, Some("uri"), verifier, 1)
}

#[test]
fn a_code_wants_the_secret_or_the_verifier() {
    let mut desk = desk();
    let mut result =
        |challenge, client, verifier| exchange(&mut desk, request(challenge), client, verifier).map(|_| ());
    assert_eq!(result(None, SECRET, None), Ok(()));
    assert_eq!(result(None, PUBLIC, None), Err(GrantError::Client));
    assert_eq!(result(None, Client { secret: Some("x"), ..SECRET }, None), Err(GrantError::Client));
    assert_eq!(result(None, SECRET, Some(VERIFIER)), Err(GrantError::Grant));
    assert_eq!(result(Some(VERIFIER), PUBLIC, Some(VERIFIER)), Ok(()));
    assert_eq!(result(Some(VERIFIER), PUBLIC, None), Err(GrantError::Grant));
    assert_eq!(result(Some(VERIFIER), PUBLIC, Some(&VERIFIER[1..])), Err(GrantError::Grant));
    assert_eq!(result(Some("short"), PUBLIC, Some("short")), Err(GrantError::Grant));
}

#[test]
fn a_code_is_good_once_and_for_a_while() {
    let mut desk = desk();
    let code = desk.allow(request(None), 0);
    assert!(desk.exchange(SECRET, &code, None, None, 1).is_err(), "without the address it was sent to");
    assert!(desk.exchange(SECRET, &code, Some("uri"), None, 1).is_err(), "used");
    let code = desk.allow(request(None), 0);
    assert!(desk.exchange(SECRET, &code, Some("uri"), None, CODE_MS + 1).is_err(), "late");
}

#[test]
fn refreshing_without_the_secret_takes_a_verifier_before() {
    let mut desk = desk();
    let with_secret = exchange(&mut desk, request(None), SECRET, None).unwrap().refresh_token.unwrap();
    assert_eq!(desk.refresh(PUBLIC, &with_secret, None, 2).map(|_| ()), Err(GrantError::Client));
    desk.refresh(SECRET, &with_secret, None, 2).unwrap();
    let issued = exchange(&mut desk, request(Some(VERIFIER)), PUBLIC, Some(VERIFIER)).unwrap();
    let refreshed = desk.refresh(PUBLIC, &issued.refresh_token.unwrap(), None, 2).unwrap();
    assert_eq!(desk.bearer(&refreshed.access_token, 3).unwrap().scopes, ["files.content.read"]);
    let more = Some(vec!["files.content.write".to_owned()]);
    assert_eq!(desk.refresh(SECRET, &with_secret, more, 2).map(|_| ()), Err(GrantError::Scope));
}

#[test]
fn access_ends_with_time_and_with_revocation() {
    let mut desk = desk();
    let tokens = desk.plant("key", true, 0);
    desk.bearer(&tokens.access_token, ACCESS_MS - 1).unwrap();
    assert_eq!(desk.bearer(&tokens.access_token, ACCESS_MS).map(|_| ()), Err(AccessError::Expired));
    let second = desk.refresh(PUBLIC, &tokens.refresh_token, None, 0).unwrap().access_token;
    desk.revoke(&second);
    for token in [&tokens.access_token, &second, "unknown"] {
        assert_eq!(desk.bearer(token, 1).map(|_| ()), Err(AccessError::Invalid));
    }
    assert_eq!(desk.refresh(PUBLIC, &tokens.refresh_token, None, 1).map(|_| ()), Err(GrantError::Grant));
}
