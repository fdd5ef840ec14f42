use super::*;

fn name(value: &str) -> Query {
    Query::Term(Term::Name(TextIs::Equal(value.to_owned())))
}

#[test]
fn and_and_or_are_taken_from_left_to_right() {
    let and = |left, right| Query::And(Box::new(left), Box::new(right));
    let or = |left, right| Query::Or(Box::new(left), Box::new(right));
    let parsed = |text| Query::parse(text).unwrap();
    let (a, b, c) = (name("a"), name("b"), name("c"));
    let expected = and(or(a.clone(), b.clone()), c.clone());
    assert_eq!(parsed("name = 'a' or name='b' and name  =  'c'"), expected);
    let expected = or(a.clone(), and(b.clone(), c.clone()));
    assert_eq!(parsed("name = 'a' or (name='b' and (name = 'c'))"), expected);
    let expected = and(Query::Not(Box::new(a)), or(b, c));
    assert_eq!(parsed("not name = 'a' and (name='b' or name='c')"), expected);
}

#[test]
fn every_term_is_read() {
    let term = |text| match Query::parse(text).unwrap() {
        Query::Term(term) => term,
        other => panic!("{other:?}"),
    };
    assert_eq!(term("'root' in parents"), Term::InParents("root".to_owned()));
    assert_eq!(term("mimeType != 'a/b'"), Term::MimeType(TextIs::Other("a/b".to_owned())));
    assert_eq!(term("name contains 'a'"), Term::Name(TextIs::Containing("a".to_owned())));
    assert_eq!(term("trashed=false"), Term::Trashed(false));
    assert_eq!(term("trashed != false"), Term::Trashed(true));
    assert_eq!(term("starred = true"), Term::Starred(true));
    assert_eq!(term("sharedWithMe"), Term::SharedWithMe(true));
    assert_eq!(term("sharedWithMe=false"), Term::SharedWithMe(false));
    assert_eq!(term("modifiedTime >= '1970-01-01T00:00:01Z'"), Term::Modified(Compare::GreaterOrEqual, 1000));
    assert_eq!(term("createdTime < '1970-01-01T00:00:01'"), Term::Created(Compare::Less, 1000));
    let has = |is_private| Term::Has { is_private, key: "k".to_owned(), value: "v".to_owned() };
    assert_eq!(term("properties has { key='k' and value='v' }"), has(false));
    assert_eq!(term("appProperties has {key='k' and value='v'}"), has(true));
}

#[test]
fn escapes_are_undone() {
    assert_eq!(Query::parse(r"name = 'it\'s a \\ and ü'").unwrap(), name(r"it's a \ and ü"));
}

#[test]
fn what_is_not_understood_is_refused() {
    let wrong = [
        "",
        "name",
        "name =",
        "name = a",
        "name = \"a\"",
        "name = 'a",
        r"name = 'a\n'",
        r"name = 'a\",
        "name == 'a'",
        "name < 'a'",
        "nosuch = 'a'",
        "trashed",
        "trashed = 'true'",
        "trashed = maybe",
        "'a' in owners",
        "'a' in",
        "'a'",
        "name = 'a' name = 'b'",
        "name = 'a' and",
        "and name = 'a'",
        "(name = 'a'",
        "name = 'a')",
        "()",
        "not",
        "NAME = 'a'",
        "name = 'a' AND name = 'b'",
        "modifiedTime > 'yesterday'",
        "properties has {key='k'}",
        "name = 'it's'",
        "fullText contains 'a'",
    ];
    for text in wrong {
        Query::parse(text).expect_err(text);
    }
    Query::parse(&"(".repeat(10_000)).expect_err("too deep");
    Query::parse(&"not ".repeat(10_000)).expect_err("too deep");
}

#[test]
fn parents_joined_by_or_are_told() {
    let asks = |text| Query::parse(text).unwrap().asks_for_one_of_several_parents();
    assert!(asks("'a' in parents or 'b' in parents"));
    assert!(asks("trashed=false and ('a' in parents or 'b' in parents)"));
    assert!(asks("('a' in parents and trashed=false) or ('b' in parents and trashed=false)"));
    assert!(!asks("'a' in parents and (name='b' or name='c')"));
    assert!(!asks("'a' in parents"));
}
