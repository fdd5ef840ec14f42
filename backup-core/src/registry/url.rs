//! The short way to name a store: a URL or a plain path.
//!
//! Cut by hand and not by a web-URL parser, which would resolve `.` and `..`, lose the difference between
//! `sftp://host/./relative` and `sftp://host/relative`, and rewrite what is a name in a store.

use std::fmt;

use super::Table;

/// A URL of a store, cut into parts and with `%xx` taken out of them. It never holds a password.
///
/// A plain path is treated as a URL with the scheme `file` whose path is taken as it is. `Debug` hides the query's
/// values.
///
/// ```
/// use backup_core::registry::StoreUrl;
///
/// let url = StoreUrl::parse("sftp://me@nas.local:2222/./backups?compression=false")?;
/// assert_eq!((url.scheme(), url.user(), url.host(), url.port()), ("sftp", Some("me"), "nas.local", Some(2222)));
/// assert_eq!(url.path(), "/./backups");
/// assert!(StoreUrl::parse("sftp://me:secret@nas.local/").is_err());
/// # Ok::<(), backup_core::registry::InvalidUrl>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl {
    scheme: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
    query: Vec<(String, String)>,
}

/// A URL that can't be used, and why; it does not hold the URL, which may hold a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid URL: {reason}")]
pub struct InvalidUrl {
    /// Why, a lower-case fragment.
    pub reason: String,
}

impl InvalidUrl {
    /// An error with a reason that repeats no part of the URL but names of options.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// The scheme of plain paths.
pub(crate) const FILE_SCHEME: &str = "file";

impl StoreUrl {
    /// Cuts a URL into its parts.
    ///
    /// # Errors
    /// [`InvalidUrl`] when there is no scheme, a password in it, a fragment (`#…`), a port that is none, or a `%` that
    /// isn't followed by two hexadecimal digits or gives bytes that are no text.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let (scheme, rest) = split_scheme(text).ok_or_else(|| InvalidUrl::new("it has no `scheme://`"))?;
        if rest.contains('#') {
            return Err(InvalidUrl::new("`#` has to be written as `%23`"));
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match authority.rsplit_once('@') {
            None => (None, authority),
            Some((user, _)) if user.contains(':') => {
                return Err(InvalidUrl::new(
                    "a password has no place in a URL; give the option for it a reference (env:, file:, cmd:, keyring:)",
                ));
            }
            Some((user, place)) => (Some(decoded(user)?), place),
        };
        let (host, port) = split_port(place)?;
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, "true"));
            Ok((decoded(name)?, decoded(value)?))
        });
        Ok(Self {
            scheme: scheme.to_ascii_lowercase(),
            user,
            host: decoded(host)?,
            port,
            path: decoded(path)?,
            query: query.collect::<Result<_, _>>()?,
        })
    }

    /// A plain path as a URL; nothing of it is decoded.
    pub fn from_path(path: &str) -> Self {
        Self {
            scheme: FILE_SCHEME.to_owned(),
            user: None,
            host: String::new(),
            port: None,
            path: path.to_owned(),
            query: Vec::new(),
        }
    }

    /// The scheme in lower case.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// The user, where one is given.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host, bucket or folder right after `//`; empty in `file:///srv`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, where one is given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The path with its leading `/`, as it was written; empty when there is none.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The options after `?`, in order; one without `=` is `true`.
    pub fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// A table of the options after `?`; a scheme's function adds what its own parts mean.
    ///
    /// # Errors
    /// [`InvalidUrl`] when an option is there twice.
    pub fn options(&self) -> Result<Table, InvalidUrl> {
        let mut table = Table::new();
        for (name, value) in self.query() {
            if table.contains(name) {
                return Err(InvalidUrl::new(format!("the option `{name}` is there twice")));
            }
            table = table.with_text(name, value);
        }
        Ok(table)
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.query().map(|(name, _)| name).collect();
        f.debug_struct("StoreUrl")
            .field("scheme", &self.scheme)
            .field("user", &self.user)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("path", &self.path)
            .field("query", &names)
            .finish()
    }
}

/// The scheme and what follows `://`, `None` for a text that is no URL.
pub(crate) fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    valid.then_some((scheme, rest))
}

fn split_port(place: &str) -> Result<(&str, Option<u16>), InvalidUrl> {
    let not_a_port = || InvalidUrl::new("the port is no number from 0 to 65535");
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or_else(not_a_port)?)),
            None => return Err(InvalidUrl::new("`[` without `]`")),
        },
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    Ok((host, port.map(str::parse).transpose().map_err(|_| not_a_port())?))
}

fn decoded(part: &str) -> Result<String, InvalidUrl> {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.bytes();
    while let Some(byte) = rest.next() {
        let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
        bytes.push(match byte {
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => high * 16 + low,
                _ => return Err(InvalidUrl::new("`%` has to be followed by two hexadecimal digits")),
            },
            byte => byte,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| InvalidUrl::new("a part of it is not UTF-8 text"))?;
    if text.contains('\0') { Err(InvalidUrl::new("it holds a NUL byte")) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_is_cut_without_changing_its_parts() {
        let url = StoreUrl::parse("S3://bucket/a%20b/../c/?region=eu&endpoint=https://x:9000/&path_style").unwrap();
        assert_eq!((url.scheme(), url.host(), url.path()), ("s3", "bucket", "/a b/../c/"));
        let query: Vec<_> = url.query().collect();
        assert_eq!(query, [("region", "eu"), ("endpoint", "https://x:9000/"), ("path_style", "true")]);
        let url = StoreUrl::parse("sftp://u%40corp@[::1]:22/p").unwrap();
        assert_eq!((url.user(), url.host(), url.port()), (Some("u@corp"), "::1", Some(22)));
        let url = StoreUrl::parse("gdrive://folder").unwrap();
        assert_eq!((url.host(), url.path()), ("folder", ""));
        let url = StoreUrl::parse("file:///srv/a:b@c").unwrap();
        assert_eq!((url.user(), url.host(), url.path()), (None, "", "/srv/a:b@c"));
    }

    #[test]
    fn password_in_a_url_is_refused_and_not_repeated() {
        for text in ["sftp://me:canary@host/", "sftp://me:@host/", "s3://:canary@b/", "s3://a@b:canary@c/"] {
            let error = StoreUrl::parse(text).unwrap_err();
            assert!(error.reason.contains("password"), "{text}: {error}");
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
        let url = StoreUrl::parse("s3://b?key=canary").unwrap();
        assert!(!format!("{url:?} {:?}", url.options().unwrap()).contains("canary"));
    }

    #[test]
    fn malformed_urls_are_errors() {
        for text in
            ["/srv", "C:\\x", "://x", "1x://y", "s3://b/%", "s3://b/%f", "s3://b/%zz", "s3://b/%ff", "s3://b/%00"]
        {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
        for text in ["sftp://h:x/", "sftp://h:65536/", "sftp://[::1/", "sftp://[::1]22/", "s3://b#x", "sftp://::1/"] {
            assert!(StoreUrl::parse(text).is_err(), "{text}");
        }
        assert!(StoreUrl::parse("s3://b?a=1&a=2").unwrap().options().is_err());
    }
}
