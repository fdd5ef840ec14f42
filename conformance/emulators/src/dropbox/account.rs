//! The one account: its files, uploads, jobs, apps and what is allowed to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::access::{App, Desk};
use super::errors::tag;
use super::faults::Behaviour;
use super::sessions::Sessions;
use super::tree::Tree;

/// The namespace of the user's files.
pub(super) const HOME: u64 = 1_000_001;

/// The account's identity, which has 40 characters.
pub(super) const ACCOUNT_ID: &str = "dbid:AAemulated-account-of-the-tests-000";

/// Room of an account that nobody set: 2 GiB, as a new one has it.
const ALLOCATED_BYTES: u64 = 2 << 30;

/// Everything that an emulator keeps.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) desk: Desk,
    pub(super) sessions: Sessions,
    pub(super) jobs: Jobs,
    pub(super) behaviour: Behaviour,
    pub(super) allocated_bytes: u64,
    pub(super) used_elsewhere_bytes: u64,
    pub(super) is_of_team: bool,
    /// Writes so far, as far as they may meet others.
    pub(super) writes: u64,
    /// Cursors of earlier generations are told to begin again.
    pub(super) generation: u64,
    trees: BTreeMap<u64, Tree>,
    /// The namespaces of apps' folders, by the folder's name.
    folders: BTreeMap<String, u64>,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            desk: Desk::default(),
            sessions: Sessions::default(),
            jobs: Jobs::default(),
            behaviour: Behaviour::default(),
            allocated_bytes: ALLOCATED_BYTES,
            used_elsewhere_bytes: 0,
            is_of_team: false,
            writes: 0,
            generation: 0,
            trees: BTreeMap::from([(HOME, Tree::new(HOME))]),
            folders: BTreeMap::new(),
        }
    }

    /// Registers an app, with a namespace where it has a folder of its own.
    pub(super) fn add_app(&mut self, app: App) {
        if let Some(folder) = &app.folder
            && !self.folders.contains_key(folder)
        {
            let namespace = HOME + 1 + u64::try_from(self.folders.len()).expect("there are few apps");
            self.folders.insert(folder.clone(), namespace);
            self.trees.insert(namespace, Tree::new(namespace));
        }
        self.desk.add_app(app);
    }

    /// The namespace that an app sees.
    pub(super) fn namespace_of(&self, app_key: &str) -> u64 {
        let folder = self.desk.app(app_key).and_then(|app| app.folder.as_ref());
        folder.and_then(|folder| self.folders.get(folder)).copied().unwrap_or(HOME)
    }

    pub(super) fn has_namespace(&self, namespace: u64) -> bool {
        self.trees.contains_key(&namespace)
    }

    pub(super) fn tree(&self, namespace: u64) -> &Tree {
        self.trees.get(&namespace).expect("namespaces are made with the apps that see them")
    }

    pub(super) fn tree_mut(&mut self, namespace: u64) -> &mut Tree {
        self.trees.get_mut(&namespace).expect("namespaces are made with the apps that see them")
    }

    /// Bytes that count against the quota.
    pub(super) fn used_bytes(&self) -> u64 {
        self.trees.values().map(Tree::used_bytes).sum::<u64>() + self.used_elsewhere_bytes
    }

    /// Bytes that can be stored yet.
    pub(super) fn free_bytes(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.used_bytes())
    }

    /// `users/get_space_usage`.
    pub(super) fn space_usage(&self) -> Value {
        let used = self.used_bytes();
        let allocation = match self.is_of_team {
            false => json!({ ".tag": "individual", "allocated": self.allocated_bytes }),
            true => json!({
                ".tag": "team",
                "used": used,
                "allocated": self.allocated_bytes,
                "user_within_team_space_allocated": 0,
                "user_within_team_space_limit_type": tag("off"),
                "user_within_team_space_used_cached": used,
            }),
        };
        json!({ "used": used, "allocation": allocation })
    }

    /// `users/get_current_account`.
    pub(super) fn description(&self) -> Value {
        let name = json!({
            "given_name": "Test", "surname": "User", "familiar_name": "Test",
            "display_name": "Test User", "abbreviated_name": "TU",
        });
        let home = HOME.to_string();
        json!({
            "account_id": ACCOUNT_ID,
            "name": name,
            "email": "test@example.org",
            "email_verified": true,
            "disabled": false,
            "country": "CH",
            "locale": "en",
            "referral_link": "https://www.dropbox.com/referrals/emulated",
            "is_paired": false,
            "account_type": tag("basic"),
            "root_info": { ".tag": "user", "root_namespace_id": home, "home_namespace_id": home },
        })
    }
}

/// What is done in the background, or would be.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The function that began it, without its version.
    pub(super) function: &'static str,
    pub(super) app_key: String,
    pub(super) namespace: u64,
    pub(super) polls_left: u32,
    pub(super) work: Work,
}

/// A job's argument or its result.
#[derive(Debug, Clone)]
pub(super) enum Work {
    ToDo(Value),
    Done(Value),
}

/// All jobs of an account.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    by_id: BTreeMap<String, Job>,
}

impl Jobs {
    pub(super) fn begin(&mut self, job: Job) -> String {
        let id = format!("dbjid:AA{:016x}", self.by_id.len() + 1);
        self.by_id.insert(id.clone(), job);
        id
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Job> {
        self.by_id.get_mut(id)
    }

    /// Whether a job of this function is not done yet.
    pub(super) fn is_running(&self, function: &str, namespace: u64) -> bool {
        let of_it = |job: &&Job| job.function == function && job.namespace == namespace;
        self.by_id.values().filter(of_it).any(|job| matches!(job.work, Work::ToDo(_)))
    }
}
