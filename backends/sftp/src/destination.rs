//! Where a connection goes and as whom: what the configuration says, and for the rest `~/.ssh/config`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ssh2_config::{ParseRule, SshConfig};

use crate::SftpConfig;
use crate::known_hosts::host_name;

const USUAL_PORT: u16 = 22;

/// Files that hold keys where nobody names one, in the order in which ssh tries them.
const USUAL_KEYS: [&str; 3] = ["id_ed25519", "id_ecdsa", "id_rsa"];

/// What the system's administrator knows.
const SYSTEM_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// How long a server may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);

/// Where a connection goes and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    /// The name under which the server's key is looked up, as it stands in files.
    pub(crate) key_name: String,
    pub(crate) known_hosts: Vec<PathBuf>,
    /// Keys that somebody named.
    pub(crate) identities: Vec<PathBuf>,
    /// Whether they were named for this store, and not for ssh in general: then each of them has to be there.
    pub(crate) identities_are_ours: bool,
    /// Keys that are tried where they exist.
    pub(crate) usual_identities: Vec<PathBuf>,
    /// Whether the agent is asked for no other keys than the named ones.
    pub(crate) identities_only: bool,
    pub(crate) agent: Option<PathBuf>,
    pub(crate) connect_timeout: Duration,
}

/// What the surroundings say.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) home: Option<PathBuf>,
    pub(crate) user: Option<String>,
    pub(crate) agent: Option<PathBuf>,
    /// What the ssh configuration says, and where it stands.
    pub(crate) ssh_config: Option<(PathBuf, String)>,
}

/// The destination of a configuration; the message says what is wrong.
pub(crate) fn destination(config: &SftpConfig, around: &Surroundings) -> Result<Destination, String> {
    let home = around.home.as_deref();
    let alias = HostOptions::of(&config.host, around)?;
    let dot_ssh = home.map(|home| home.join(".ssh"));
    let user = config.user.clone().or(alias.user).or_else(|| around.user.clone());
    let user = user.ok_or("no user is named; write sftp://USER@HOST/PATH")?;
    let port = config.port.or(alias.port).unwrap_or(USUAL_PORT);
    let known_hosts = match (&config.known_hosts, alias.known_hosts) {
        (Some(file), _) => vec![expand(&file.to_string_lossy(), home)],
        (None, files) => {
            let usual = || dot_ssh.iter().map(|folder| folder.join("known_hosts")).collect();
            let own = if files.is_empty() { usual() } else { files };
            own.into_iter().chain([PathBuf::from(SYSTEM_KNOWN_HOSTS)]).collect()
        }
    };
    let identities = match &config.identity_file {
        Some(file) => vec![expand(&file.to_string_lossy(), home)],
        None => alias.identities,
    };
    let usual_identities = match (&dot_ssh, identities.is_empty()) {
        (Some(folder), true) => USUAL_KEYS.iter().map(|name| folder.join(name)).collect(),
        _ => Vec::new(),
    };
    let host = alias.host_name.unwrap_or_else(|| config.host.clone());
    Ok(Destination {
        // An alias stands for itself, whatever the port.
        key_name: alias.key_name.unwrap_or_else(|| host_name(&host, port)),
        host,
        port,
        user,
        known_hosts,
        // Who names a key means that key.
        identities_only: config.identity_file.is_some() || alias.identities_only,
        identities_are_ours: config.identity_file.is_some(),
        identities,
        usual_identities,
        agent: if config.agent { alias.agent.or_else(|| around.agent.clone()) } else { None },
        connect_timeout: alias.connect_timeout.unwrap_or(CONNECT_WITHIN),
    })
}

/// What `~/.ssh/config` says about a host.
#[derive(Debug, Default)]
struct HostOptions {
    host_name: Option<String>,
    user: Option<String>,
    port: Option<u16>,
    key_name: Option<String>,
    identities: Vec<PathBuf>,
    identities_only: bool,
    known_hosts: Vec<PathBuf>,
    agent: Option<PathBuf>,
    connect_timeout: Option<Duration>,
}

impl HostOptions {
    fn of(host: &str, around: &Surroundings) -> Result<Self, String> {
        let Some((file, content)) = &around.ssh_config else { return Ok(Self::default()) };
        let home = around.home.as_deref();
        let content = understood(content);
        let rules = ParseRule::ALLOW_UNKNOWN_FIELDS | ParseRule::ALLOW_UNSUPPORTED_FIELDS;
        let mut parser = SshConfig::default();
        if let Some(home) = home {
            parser = parser.home_dir(home);
        }
        let parsed = parser
            .parse(&mut content.as_bytes(), rules)
            .map_err(|error| format!("cannot read `{}`: {error}", file.display()))?;
        let params = parsed.query(host);
        let other = |name: &str| {
            let fields = params.unsupported_fields.iter().chain(&params.ignored_fields);
            let mut values = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, values)| values);
            values.next().cloned().unwrap_or_default()
        };
        if !other("match").is_empty() {
            return Err(format!(
                "a file that `{}` includes has a `Match` block, which only ssh understands; set `ssh_config = none` and name host, user and key",
                file.display()
            ));
        }
        let proxied = params.proxy_jump.is_some_and(|jumps| !matches!(jumps.as_slice(), [none] if none == "none"));
        let command = other("proxycommand");
        if proxied || !matches!(command.first().map(String::as_str), None | Some("none")) {
            return Err(format!(
                "`{}` leads to {host} through another host (ProxyJump or ProxyCommand), which is not supported",
                file.display()
            ));
        }
        let is_yes = |values: &[String]| values.first().is_some_and(|value| value.eq_ignore_ascii_case("yes"));
        let host_name = params.host_name.map(|name| name.replace("%h", host).replace("%%", "%"));
        let paths = |values: &[String]| -> Vec<PathBuf> {
            values.iter().filter(|value| *value != "none").map(|value| expand(value, home)).collect()
        };
        let agent = other("identityagent").first().cloned();
        Ok(Self {
            host_name,
            user: params.user,
            port: params.port,
            key_name: other("hostkeyalias").first().cloned(),
            identities: params.identity_file.unwrap_or_default(),
            identities_only: is_yes(&other("identitiesonly")),
            known_hosts: paths(&other("userknownhostsfile")),
            agent: agent.filter(|agent| agent != "SSH_AUTH_SOCK").map(|agent| expand(&agent, home)),
            connect_timeout: params.connect_timeout,
        })
    }
}

/// The keywords that are used here; what stands under others is ssh's own business.
const KEYWORDS: [&str; 12] = [
    "host",
    "include",
    "hostname",
    "user",
    "port",
    "identityfile",
    "identitiesonly",
    "identityagent",
    "userknownhostsfile",
    "hostkeyalias",
    "connecttimeout",
    "proxyjump",
];

/// The lines that are used here. Blocks that begin with `Match` are left out: what they are about is known to ssh only; `Match
/// all` is kept. Of a keyword that comes twice in a block, the first counts, as with ssh.
fn understood(content: &str) -> String {
    let mut kept = String::with_capacity(content.len());
    let mut is_kept = true;
    let mut seen: Vec<String> = Vec::new();
    for line in content.lines() {
        let mut words = line.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
        let Some(keyword) = words.next().map(str::to_ascii_lowercase) else { continue };
        let line = match keyword.as_str() {
            "match" => {
                is_kept = words.next().is_some_and(|word| word.eq_ignore_ascii_case("all")) && words.next().is_none();
                seen.clear();
                "Host *"
            }
            "host" => {
                is_kept = true;
                seen.clear();
                line
            }
            // Several add up.
            "include" | "identityfile" => line,
            // ssh knows units, too.
            "connecttimeout" if words.next().is_none_or(|time| time.parse::<u32>().is_err()) => continue,
            "proxycommand" => line,
            known if KEYWORDS.contains(&known) && !seen.contains(&keyword) => line,
            _ => continue,
        };
        if is_kept {
            seen.push(keyword);
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// A path with `~` for the home folder.
fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around(ssh_config: &str) -> Surroundings {
        Surroundings {
            home: Some("/home/me".into()),
            user: Some("me".to_owned()),
            agent: Some("/run/agent".into()),
            ssh_config: Some(("/home/me/.ssh/config".into(), ssh_config.to_owned())),
        }
    }

    fn at(host: &str, ssh_config: &str) -> Result<Destination, String> {
        destination(&SftpConfig::new(host, "/srv"), &around(ssh_config))
    }

    #[test]
    fn alias_says_where_as_whom_and_with_which_key() {
        let text = "Host nas\n  HostName %h.example.org\n  User them\n  Port 2222\n  IdentityFile ~/.ssh/nas\n  \
                    IdentitiesOnly yes\n  HostKeyAlias the-nas\n  UserKnownHostsFile ~/hosts\n  ConnectTimeout 7\n\
                    Host *\n  User nobody\n";
        let nas = at("nas", text).unwrap();
        assert_eq!((nas.host.as_str(), nas.port, nas.user.as_str()), ("nas.example.org", 2222, "them"));
        assert_eq!(nas.key_name, "the-nas");
        assert_eq!(nas.identities, [PathBuf::from("/home/me/.ssh/nas")]);
        assert!(nas.identities_only && nas.usual_identities.is_empty());
        assert_eq!(nas.known_hosts, [PathBuf::from("/home/me/hosts"), PathBuf::from(SYSTEM_KNOWN_HOSTS)]);
        assert_eq!(nas.connect_timeout, Duration::from_secs(7));
        let other = at("other", text).unwrap();
        assert_eq!((other.host.as_str(), other.port, other.user.as_str()), ("other", 22, "nobody"));
        assert_eq!((other.key_name.as_str(), other.usual_identities.len()), ("other", 3));
        assert_eq!(other.agent, Some("/run/agent".into()));
    }

    #[test]
    fn configuration_comes_before_the_alias() {
        let mut config = SftpConfig::new("nas", "/srv");
        config.user = Some("us".to_owned());
        config.port = Some(1);
        config.identity_file = Some("~/key".into());
        config.known_hosts = Some("/etc/hosts-of-ours".into());
        config.agent = false;
        let text = "Host nas\n User them\n Port 2222\n IdentityFile ~/.ssh/nas\n UserKnownHostsFile ~/hosts\n";
        let found = destination(&config, &around(text)).unwrap();
        assert_eq!((found.port, found.user.as_str()), (1, "us"));
        assert_eq!(found.identities, [PathBuf::from("/home/me/key")]);
        assert_eq!(found.known_hosts, [PathBuf::from("/etc/hosts-of-ours")]);
        assert_eq!(found.agent, None);
        assert!(found.identities_only);
    }

    #[test]
    fn blocks_for_ssh_only_change_nothing_and_hide_nothing() {
        let text = "Match exec \"true\"\n  User wrong\n  Port 1\nHost nas\n  Port 2\nMatch host nas\n  Port 3\n  \
                    User wrong\nMatch all\n  User right\n";
        let nas = at("nas", text).unwrap();
        assert_eq!((nas.port, nas.user.as_str()), (2, "right"));
    }

    #[test]
    fn lines_for_ssh_only_stand_in_nobodys_way_and_the_first_of_a_keyword_counts() {
        let text = "AddKeysToAgent confirm\nForwardAgent $SOCK\nHost nas\n  ConnectTimeout 1m\n  Port 2\n  Port 3\n  \
                    PubkeyAuthentication unbound\n  User=first\n  User second\n";
        let nas = at("nas", text).unwrap();
        assert_eq!((nas.port, nas.user.as_str(), nas.connect_timeout), (2, "first", CONNECT_WITHIN));
        assert_eq!(nas.key_name, "[nas]:2");
    }

    #[test]
    fn match_block_in_an_included_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let included = folder.path().join("more");
        std::fs::write(&included, "Match exec \"true\"\n  HostName elsewhere\n").unwrap();
        let error = at("nas", &format!("Include {}\n", included.display())).unwrap_err();
        assert!(error.contains("Match"), "{error}");
        std::fs::write(&included, "Host nas\n  HostName nas.example.org\n").unwrap();
        assert_eq!(at("nas", &format!("Include {}\n", included.display())).unwrap().host, "nas.example.org");
    }

    #[test]
    fn ways_through_other_hosts_are_refused_by_name() {
        for text in ["Host nas\n ProxyJump gate\n", "Host *\n ProxyCommand nc %h %p\n"] {
            let error = at("nas", text).unwrap_err();
            assert!(error.contains("ProxyJump"), "{error}");
        }
        assert!(at("nas", "Host nas\n ProxyJump none\n ProxyCommand none\n").is_ok());
    }

    #[test]
    fn without_a_user_it_is_told_how_to_name_one() {
        let error = destination(&SftpConfig::new("nas", "/srv"), &Surroundings::default()).unwrap_err();
        assert!(error.contains("USER@HOST"), "{error}");
    }
}
