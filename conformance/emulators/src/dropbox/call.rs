//! One call of a function that may be made, with an argument that fits.

mod files;
mod listings;
mod uploads;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::account::{Account, Job, Work};
use super::answer::{Failure, Success};
use super::errors::{tag, tagged};
use super::faults::{Contention, Fault};
use super::path::{Malformed, Target};
use super::routes::Route;
use super::tree::Tree;

/// A call.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) account: &'a mut Account,
    /// The key of the app that calls; empty where anybody may.
    pub(super) app_key: &'a str,
    /// The access token.
    pub(super) token: &'a str,
    /// The root that paths begin at.
    pub(super) namespace: u64,
    /// The argument, with all defaults in it.
    pub(super) argument: &'a Value,
    /// The body, where it is not the argument.
    pub(super) data: &'a Bytes,
    pub(super) now_ms: u64,
    pub(super) fault: Option<Fault>,
}

type Outcome = Result<Success, Failure>;

impl Call<'_> {
    /// Does it.
    pub(super) fn run(&mut self, route: &Route) -> Outcome {
        self.refuse_what_is_not_emulated()?;
        if is_write(route.name)
            && let Some(contention) = self.contention()
        {
            return Err(contention.failure(route.name));
        }
        match (route.name, route.version) {
            ("auth/token/revoke", _) => {
                self.account.desk.revoke(self.token);
                Ok(Success::Json(Value::Null))
            }
            ("check/user" | "check/app", _) => Ok(Success::Json(json!({ "result": self.argument["query"] }))),
            ("users/get_current_account", _) => Ok(Success::Json(self.account.description())),
            ("users/get_space_usage", _) => Ok(Success::Json(self.account.space_usage())),
            ("files/get_metadata", _) => self.get_metadata(),
            ("files/download", _) => self.download(),
            ("files/create_folder", _) => self.create_folder(),
            ("files/delete", _) => self.delete(),
            ("files/move", _) => self.relocate(true),
            ("files/copy", _) => self.relocate(false),
            ("files/restore", _) => self.restore(),
            ("files/list_revisions", _) => self.list_revisions(),
            ("files/list_folder", _) => self.list_folder(),
            ("files/list_folder/continue", _) => self.list_folder_continue(),
            ("files/list_folder/get_latest_cursor", _) => self.latest_cursor(),
            ("files/list_folder/longpoll", _) => self.longpoll(),
            ("files/upload", _) => self.upload(),
            ("files/upload_session/start", _) => self.start_session(),
            ("files/upload_session/start_batch", _) => self.start_sessions(),
            ("files/upload_session/append", _) => self.append(),
            ("files/upload_session/append_batch", _) => self.append_batch(),
            ("files/upload_session/finish", _) => self.finish_session(),
            ("files/upload_session/finish_batch", 2) => self.finish_at_once(),
            ("files/upload_session/finish_batch", _) => self.launch("files/upload_session/finish_batch"),
            ("files/delete_batch", _) => self.launch("files/delete_batch"),
            ("files/upload_session/finish_batch/check", _) => self.check_job("files/upload_session/finish_batch"),
            ("files/delete_batch/check", _) => self.check_job("files/delete_batch"),
            (name, _) => unreachable!("`{name}` is in the table and not here"),
        }
    }

    fn refuse_what_is_not_emulated(&self) -> Result<(), Failure> {
        let parts = [self.argument, &self.argument["commit"]];
        for name in ["property_groups", "include_property_groups", "shared_link"] {
            if parts.iter().any(|part| part.get(name).is_some_and(|value| !value.is_null())) {
                return Err(Failure::BadRequest(format!("`{name}` is not emulated")));
            }
        }
        Ok(())
    }

    /// How writes hear of others now, if they meet any.
    fn contention_now(&self) -> Option<Contention> {
        match self.fault {
            Some(Fault::TooManyWriteOperations(contention)) => Some(contention),
            _ => self.account.behaviour.contention,
        }
    }

    /// The other write that this one meets.
    fn contention(&mut self) -> Option<Contention> {
        let contention = self.contention_now()?;
        if matches!(self.fault, Some(Fault::TooManyWriteOperations(_))) {
            return Some(contention);
        }
        self.account.writes += 1;
        let every = self.account.behaviour.contention_every.max(1);
        self.account.writes.is_multiple_of(every).then_some(contention)
    }

    /// Refuses a batch as a whole where that is how it hears of another write; else its entries hear of it.
    fn check_batch_contention(&mut self, function: &str) -> Result<(), Failure> {
        match self.contention_now() {
            Some(Contention::Status { .. }) => {
                self.contention().map_or(Ok(()), |contention| Err(contention.failure(function)))
            }
            _ => Ok(()),
        }
    }

    /// The other write that an entry of a batch meets.
    fn entry_contention(&mut self) -> Option<Contention> {
        match self.contention_now() {
            Some(Contention::Status { .. }) => None,
            _ => self.contention(),
        }
    }

    fn launch(&mut self, function: &'static str) -> Outcome {
        self.check_batch_contention(function)?;
        // The vendor asks that the next job isn't begun before this one is done.
        if self.account.jobs.is_running(function, self.namespace) {
            return Err(Contention::Status { retry_after_s: 1 }.failure(function));
        }
        let entries = self.argument["entries"].clone();
        if self.account.behaviour.jobs_at_once {
            let result = self.do_job(function, &entries);
            return Ok(Success::Json(json!({ ".tag": "complete", "entries": result })));
        }
        let id = self.account.jobs.begin(Job {
            function,
            app_key: self.app_key.to_owned(),
            namespace: self.namespace,
            polls_left: self.account.behaviour.job_polls,
            work: Work::ToDo(entries),
        });
        Ok(Success::Json(json!({ ".tag": "async_job_id", "async_job_id": id })))
    }

    fn check_job(&mut self, function: &'static str) -> Outcome {
        let id = text(self.argument, "async_job_id").to_owned();
        let (app_key, namespace) = (self.app_key, self.namespace);
        let is_asked =
            |job: &&mut Job| job.function == function && job.app_key == app_key && job.namespace == namespace;
        let job = self.account.jobs.get_mut(&id).filter(is_asked).ok_or_else(|| tag("invalid_async_job_id"))?;
        if job.polls_left > 0 {
            job.polls_left -= 1;
            return Ok(Success::Json(tag("in_progress")));
        }
        let result = match job.work.clone() {
            Work::Done(result) => result,
            Work::ToDo(entries) => self.do_job(function, &entries),
        };
        if let Some(job) = self.account.jobs.get_mut(&id) {
            job.work = Work::Done(result.clone());
        }
        Ok(Success::Json(json!({ ".tag": "complete", "entries": result })))
    }

    fn do_job(&mut self, function: &str, entries: &Value) -> Value {
        let entries = entries.as_array().cloned().unwrap_or_default();
        let results = entries.iter().enumerate().map(|(at, entry)| {
            let is_busy = match self.fault {
                Some(Fault::FailEntries { every }) => at % every.max(1) == 0,
                _ => false,
            };
            let path = if function == "files/delete_batch" { "path_write" } else { "path" };
            let busy = tag("too_many_write_operations");
            match self.entry_contention() {
                Some(Contention::Path) => tagged("failure", tagged(path, busy)),
                Some(_) => tagged("failure", busy),
                None if is_busy => tagged("failure", busy),
                None if function == "files/delete_batch" => self.delete_entry(entry),
                None => self.finish_entry(entry),
            }
        });
        results.collect()
    }

    fn tree(&mut self) -> &mut Tree {
        self.account.tree_mut(self.namespace)
    }

    fn target(&self, argument: &Value, name: &str) -> Result<Target, Malformed> {
        Target::parse(text(argument, name), self.namespace)
    }

    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.now_ms / 1000).expect("the clock stays within what times can tell");
        Timestamp::from_second(seconds).expect("the clock stays within what times can tell")
    }

    fn free_bytes(&self) -> u64 {
        if self.fault == Some(Fault::NoSpace) { 0 } else { self.account.free_bytes() }
    }
}

/// Whether a function writes at once, and nothing stays of what it was given when it can't.
fn is_write(name: &str) -> bool {
    let functions = ["copy", "create_folder", "delete", "move", "restore"];
    name.strip_prefix("files/").is_some_and(|name| functions.contains(&name))
}

/// A field that the table says is text.
fn text<'a>(argument: &'a Value, name: &str) -> &'a str {
    argument[name].as_str().unwrap_or_default()
}
