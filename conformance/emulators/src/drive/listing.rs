//! `files.list`: what is found, in which order and in which pages.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::account::Caller;
use super::operation::Call;
use super::query::{Query, Term, TextIs};
use super::refusal::Refusal;
use super::state::{Corpus, Node, State};

/// Files of a page where nothing else is asked for.
const PAGE_DEFAULT: usize = 100;

/// What comes before the place of every first item.
const BEGIN: &str = "";

impl State {
    pub(super) fn files_list(&self, caller: &Caller, call: &Call) -> Result<Value, Refusal> {
        let query = call.parameter("q").filter(|text| !text.is_empty()).map(Query::parse).transpose()?;
        let order = order(call.parameter("orderBy"))?;
        let corpora = self.corpora(caller, call)?;
        if let Some(query) = &query {
            for term in query.terms() {
                if let Term::InParents(id) = term {
                    self.folder(caller, id, call.knows_drives())?;
                }
            }
        }
        let digest = asked(call);
        let after = match call.parameter("pageToken") {
            None => None,
            Some(token) => {
                Some(read_token(token, &digest).ok_or_else(|| Refusal::invalid("pageToken", "Invalid Value"))?)
            }
        };

        let finds_none =
            self.knobs.or_parents_find_nothing && query.as_ref().is_some_and(Query::asks_for_one_of_several_parents);
        let finds = |node: &&Node| {
            !finds_none
                && node.parent.is_some()
                && corpora.holds(&node.corpus)
                && self.sees(caller, node, corpora.shared)
                && query.as_ref().is_none_or(|query| self.matches(caller, query, node))
        };
        let found = self.nodes.values().filter(finds);
        let mut found: Vec<(String, &Node)> = found.map(|node| (self.place(node, &order), node)).collect();
        found.sort_by(|(left, _), (right, _)| left.cmp(right));
        if let Some(after) = &after {
            found.retain(|(place, _)| place > after);
        }

        let wanted = call.number("pageSize", PAGE_DEFAULT).min(self.knobs.page_at_most.unwrap_or(usize::MAX));
        let is_held_back = self.knobs.first_page_is_empty && after.is_none();
        let page = &found[..if is_held_back { 0 } else { wanted.min(found.len()) }];
        let files: Vec<Value> = page.iter().map(|(_, node)| self.file_json(caller, node)).collect();
        let mut reply = json!({
            "kind": "drive#fileList",
            "incompleteSearch": self.knobs.incomplete_search,
            "files": files,
        });
        if page.len() < found.len() || is_held_back {
            let last = page.last().map_or(BEGIN, |(place, _)| place.as_str());
            reply["nextPageToken"] = write_token(last, &digest).into();
        }
        Ok(reply)
    }

    /// Where is searched.
    fn corpora(&self, caller: &Caller, call: &Call) -> Result<Corpora, Refusal> {
        let shared = call.flag("includeItemsFromAllDrives");
        if shared && !call.knows_drives() {
            let message = "'includeItemsFromAllDrives' demands 'supportsAllDrives'.";
            return Err(Refusal::invalid("includeItemsFromAllDrives", message));
        }
        let drive_id = call.parameter("driveId");
        match (call.parameter("corpora").unwrap_or("user"), drive_id) {
            ("drive", Some(id)) => {
                if !shared {
                    let message =
                        "The includeItemsFromAllDrives parameter must be set to true when a drive is searched.";
                    return Err(Refusal::new(403, "teamDrivesIncludeTeamDriveItemsRequired", message));
                }
                let drive = self.drives.get(id).filter(|drive| drive.members.contains(&caller.user));
                drive.ok_or_else(|| Refusal::no_drive(id))?;
                Ok(Corpora { only: Some(id.to_owned()), shared })
            }
            ("drive", None) => Err(Refusal::required("driveId")),
            (_, Some(_)) => Err(Refusal::invalid("driveId", "'driveId' goes with 'corpora=drive' only.")),
            ("allDrives", None) if !shared => {
                let message =
                    "The includeItemsFromAllDrives parameter must be set to true when all drives are searched.";
                Err(Refusal::new(403, "teamDrivesIncludeTeamDriveItemsRequired", message))
            }
            _ => Ok(Corpora { only: None, shared }),
        }
    }

    fn matches(&self, caller: &Caller, query: &Query, node: &Node) -> bool {
        let now_ms = self.clock.now_ms();
        let lag_ms = u64::try_from(self.knobs.name_index_lag.as_millis()).unwrap_or(u64::MAX);
        let asks_for_name = query.terms().iter().any(|term| matches!(term, Term::Name(_)));
        if asks_for_name && node.named_ms.saturating_add(lag_ms) > now_ms {
            return false;
        }
        query.holds(&|term| match term {
            Term::InParents(id) => node.parent.as_deref() == Some(self.resolve(caller, id)),
            Term::Name(text) => text_is(text, &node.name),
            Term::MimeType(TextIs::Containing(part)) => node.mime.starts_with(part.as_str()),
            Term::MimeType(text) => text_is(text, &node.mime),
            Term::Trashed(wanted) => self.is_in_trash(node) == *wanted,
            Term::Starred(wanted) => node.is_starred == *wanted,
            // Nothing is ever shared by one person with another here.
            Term::SharedWithMe(wanted) => !wanted,
            Term::Modified(compare, ms) => compare.holds(node.modified_ms, *ms),
            Term::Created(compare, ms) => compare.holds(node.created_ms, *ms),
            Term::Has { is_private: false, key, value } => node.properties.get(key) == Some(value),
            Term::Has { is_private: true, key, value } => {
                node.app_properties.get(&(caller.client.clone(), key.clone())) == Some(value)
            }
        })
    }

    /// Text that sorts where a node belongs.
    fn place(&self, node: &Node, order: &[Key]) -> String {
        let mut place = String::new();
        for key in order {
            let text = match key.name {
                "folder" => (if node.is_folder() { "0" } else { "1" }).to_owned(),
                "name" => node.name.to_lowercase(),
                "createdTime" => format!("{:020}", node.created_ms),
                "modifiedTime" => format!("{:020}", node.modified_ms),
                _ => format!("{:020}", node.size_bytes()),
            };
            if key.is_descending {
                // Characters the other way round; what is longer comes first.
                place.extend(
                    text.chars().map(|c| char::from_u32(0x2_0000_u32.saturating_sub(u32::from(c))).unwrap_or(c)),
                );
                place.push(char::MAX);
            } else {
                place.push_str(&text);
                place.push('\0');
            }
        }
        place.push_str(&node.id);
        place
    }
}

/// Where is searched: the caller's own Drive, shared ones too, or one alone.
#[derive(Debug)]
struct Corpora {
    only: Option<String>,
    shared: bool,
}

impl Corpora {
    fn holds(&self, corpus: &Corpus) -> bool {
        match (corpus, &self.only) {
            (Corpus::User(_), only) => only.is_none(),
            (Corpus::Drive(id), Some(only)) => id == only,
            (Corpus::Drive(_), None) => self.shared,
        }
    }
}

/// Names are compared without regard to case; that is measured, not documented.
fn text_is(text: &TextIs, value: &str) -> bool {
    let value = value.to_lowercase();
    match text {
        TextIs::Equal(wanted) => value == wanted.to_lowercase(),
        TextIs::Other(other) => value != other.to_lowercase(),
        // Only beginnings of words are found.
        TextIs::Containing(part) => {
            let part = part.to_lowercase();
            let is_start = |at: usize| value[..at].chars().next_back().is_none_or(|c| !c.is_alphanumeric());
            value.match_indices(&part).any(|(at, _)| is_start(at))
        }
    }
}

#[derive(Debug)]
struct Key {
    name: &'static str,
    is_descending: bool,
}

fn order(text: Option<&str>) -> Result<Vec<Key>, Refusal> {
    let known = ["folder", "name", "createdTime", "modifiedTime", "quotaBytesUsed"];
    let wrong = || Refusal::invalid("orderBy", "Invalid Value");
    let keys = text.into_iter().flat_map(|text| text.split(','));
    keys.map(|key| {
        let (name, direction) = key.trim().split_once(' ').unwrap_or((key.trim(), ""));
        let name = known.into_iter().find(|known| *known == name).ok_or_else(wrong)?;
        match direction.trim() {
            "" => Ok(Key { name, is_descending: false }),
            "desc" => Ok(Key { name, is_descending: true }),
            _ => Err(wrong()),
        }
    })
    .collect()
}

/// What a page token belongs to: all that was asked but for the page.
fn asked(call: &Call) -> String {
    let mut asked: Vec<_> =
        call.parameters.iter().filter(|(name, _)| name != "pageToken" && name != "pageSize").collect();
    asked.sort();
    URL_SAFE_NO_PAD.encode(&Sha256::digest(format!("{asked:?}"))[..9])
}

pub(super) fn write_token(after: &str, digest: &str) -> String {
    format!("~!!~{digest}{}", URL_SAFE_NO_PAD.encode(after))
}

pub(super) fn read_token(token: &str, digest: &str) -> Option<String> {
    let place = token.strip_prefix("~!!~")?.strip_prefix(digest)?;
    String::from_utf8(URL_SAFE_NO_PAD.decode(place).ok()?).ok()
}
