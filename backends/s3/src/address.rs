//! Where a bucket is.

use backup_core::registry::InvalidConfig;

/// AWS, which has the bucket's region in its host names.
const AWS: &str = "https://s3.amazonaws.com";

/// A bucket at an endpoint, and a folder in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without a slash at its end.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub(crate) prefix: String,
    pub(crate) region: String,
    /// Whether the bucket stands in the path and not in the host's name.
    pub(crate) path_style: bool,
}

impl Address {
    /// The endpoint of AWS in a region.
    pub(crate) fn aws_endpoint(region: &str) -> String {
        match region {
            "us-east-1" => AWS.to_owned(),
            region if region.starts_with("cn-") => format!("https://s3.{region}.amazonaws.com.cn"),
            region => format!("https://s3.{region}.amazonaws.com"),
        }
    }

    /// The URL of the bucket itself.
    pub(crate) fn bucket_url(&self) -> String {
        let Self { endpoint, bucket, .. } = self;
        match endpoint.split_once("://") {
            Some((scheme, host)) if !self.path_style => format!("{scheme}://{bucket}.{host}"),
            _ => format!("{endpoint}/{bucket}"),
        }
    }

    /// The URL of an object in the bucket; names below the prefix are keys, which need no escaping.
    pub(crate) fn object_url(&self, name: &str) -> String {
        format!("{}/{}", self.bucket_url(), escaped(name, true))
    }

    /// What the name of every object of the store begins with.
    pub(crate) fn root(&self) -> String {
        if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) }
    }
}

/// An endpoint as it is typed, without a slash at its end.
pub(crate) fn endpoint(text: &str, allow_http: bool) -> Result<String, InvalidConfig> {
    let (scheme, host) = text.split_once("://").unwrap_or(("https", text));
    // As every client writes it, so that all sign for one name.
    let host = host.trim_end_matches('/').to_ascii_lowercase();
    let usual = if scheme == "http" { ":80" } else { ":443" };
    let host = host.strip_suffix(usual).unwrap_or(&host);
    if host.is_empty() || host.contains(['?', '#', '@', ' ']) {
        return Err(InvalidConfig::at("endpoint", "is no plain address such as `https://s3.example.org`"));
    }
    match scheme {
        "https" => Ok(format!("https://{host}")),
        "http" if allow_http => Ok(format!("http://{host}")),
        "http" => Err(InvalidConfig::at(
            "endpoint",
            "is plain HTTP, which shows to everybody on the way what is asked for; set `allow_http` if that is meant",
        )),
        _ => Err(InvalidConfig::at("endpoint", "begins with neither `https://` nor `http://`")),
    }
}

/// A text as AWS wants it in paths and queries: everything escaped but letters, digits and `-._~`.
pub(crate) fn escaped(text: &str, keep_slashes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            b'/' if keep_slashes => out.push('/'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_stands_in_the_path_or_in_the_host() {
        let mut address = Address {
            endpoint: "https://s3.example.org:8443".to_owned(),
            bucket: "b".to_owned(),
            prefix: "p/q".to_owned(),
            region: "us-east-1".to_owned(),
            path_style: true,
        };
        assert_eq!(address.object_url("p/q/a b"), "https://s3.example.org:8443/b/p/q/a%20b");
        address.path_style = false;
        assert_eq!(address.bucket_url(), "https://b.s3.example.org:8443");
        assert_eq!(address.root(), "p/q/");
    }

    #[test]
    fn endpoint_is_https_unless_plain_http_is_asked_for() {
        assert_eq!(endpoint("s3.example.org/", false).unwrap(), "https://s3.example.org");
        assert_eq!(endpoint("https://S3.Example.org:443", false).unwrap(), "https://s3.example.org");
        assert!(endpoint("http://localhost:9000", false).unwrap_err().to_string().contains("allow_http"));
        assert_eq!(endpoint("http://localhost:9000", true).unwrap(), "http://localhost:9000");
        for bad in ["ftp://x", "https://", "https://me:secret@x", "https://x?y"] {
            assert!(endpoint(bad, true).is_err(), "{bad}");
        }
    }
}
