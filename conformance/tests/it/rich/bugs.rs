//! The bugs. Each is one that real stores and backends have had, cut down until only one case can see it.

use std::sync::atomic::Ordering;

use backup_conformance::Trouble;
use backup_core::{
    ByteRange, KeyPrefix, ObjectKey, ObjectMeta, PutBody, PutMode, PutOptions, RetryAdvice, StorageError,
    StorageErrorKind, StorageOperation, StorageResult,
};
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio::task::yield_now;

use super::World;
use super::client::{Client, error};

/// Lets every other task have its turn.
async fn dawdle() {
    for _ in 0..30 {
        yield_now().await;
    }
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

fn world_has_in_flight(world: &World, at: &ObjectKey) -> bool {
    world.state().in_flight.contains(at)
}

fn part(body: &PutBody, len: usize) -> Bytes {
    body.to_bytes().slice(..len)
}

/// Undoes what an unfinished put has left in the world.
struct Undo<'a, F: Fn(&World)>(&'a World, Option<F>);

impl<F: Fn(&World)> Drop for Undo<'_, F> {
    fn drop(&mut self) {
        if let Some(undo) = self.1.take() {
            undo(self.0);
        }
    }
}

impl Client {
    pub(super) fn puts(&self) -> usize {
        self.puts.load(Ordering::Relaxed)
    }

    /// Shows the first half under the key, then the whole.
    async fn put_in_place(&self, key: &ObjectKey, body: PutBody) -> StorageResult<()> {
        let half = usize::try_from(body.len_bytes()).unwrap() / 2;
        self.world.memory.plant(key, part(&body, half));
        dawdle().await;
        self.inner().put(key, body, &PutOptions::overwrite()).await
    }

    pub(super) async fn put_with_bugs(
        &self,
        at: &ObjectKey,
        mut body: PutBody,
        options: &PutOptions,
    ) -> StorageResult<()> {
        let world = &self.world;
        let mut options = options.clone();
        if !self.checks_digests() {
            options.sha256 = options.sha256.filter(|_| self.has("undeclared_digest_is_harmless"));
        }
        let create = options.mode == PutMode::IfAbsent;
        let len = usize::try_from(body.len_bytes()).unwrap();
        let old = world.memory.peek(at);
        let refuse = |kind| Err(error(kind, StorageOperation::Put, at));
        let mut to = at.clone();
        match self.bug.unwrap_or_default() {
            "every_character_and_length" if at.as_str().len() > 180 => return refuse(StorageErrorKind::Other),
            "reserved_names" if at.as_str().split('/').any(|segment| segment == "nul") => {
                return refuse(StorageErrorKind::Other);
            }
            // A flat store that writes `/` as `-`.
            "neighbours_are_distinct" if at.as_str() == "a-b" => to = key("a/b"),
            "key_below_a_key_is_held_or_refused" => {
                if let Some((parent, _)) = at.as_str().rsplit_once('/') {
                    world.memory.pluck(&key(parent));
                }
            }
            "many_pieces" => body = PutBody::from_pieces(body.pieces().iter().take(1_024).cloned().collect()),
            "empty_and_one_byte" if body.pieces().is_empty() => return refuse(StorageErrorKind::Other),
            "sizes_around_block_limits" if len == (64 << 10) + 1 => body = part(&body, 64 << 10).into(),
            "large_object" if create && len == 2 << 20 && at.as_str().starts_with("large/") => {
                body = part(&body, len - 1).into();
            }
            "too_large_is_refused" if len > 20 << 20 => {
                world.memory.plant(at, body.to_bytes());
                return Ok(());
            }
            "wrong_digest_leaves_nothing" if at.as_str().starts_with("digest/") => options.sha256 = None,
            "undeclared_digest_is_harmless"
                if options.sha256.is_some_and(|sha| Sha256::digest(body.to_bytes())[..] != sha) =>
            {
                body = part(&body, len / 2).into();
                options.sha256 = None;
            }
            "corrupted_put_is_noticed" if world.state().trouble == Some(Trouble::Corrupts) => options.sha256 = None,
            "right_digest_is_stored" => {
                let first = body.pieces().first().cloned().unwrap_or_default();
                if options.sha256.is_some_and(|expected| Sha256::digest(&first)[..] != expected) {
                    return refuse(StorageErrorKind::Integrity);
                }
            }
            "overwrite_replaces_the_whole" if len == 0 && old.is_some() && !create => return Ok(()),
            "create_of_existing_changes_nothing" if create && old.as_ref() == Some(&body.to_bytes()) => return Ok(()),
            "create_race_has_one_winner" if create && len == 20_000 => {
                if old.is_some() {
                    return refuse(StorageErrorKind::AlreadyExists);
                }
                dawdle().await;
                options.mode = PutMode::Overwrite;
            }
            // What goes in several parts is put together without a look at what is there.
            "large_create_has_one_winner" if create && at.as_str().starts_with("large-race/") => {
                options.mode = PutMode::Overwrite;
            }
            "no_task_outlives_its_client" if at.as_str().starts_with("tasks/") => {
                tokio::spawn(std::future::pending::<()>());
            }
            // The name is taken first and the bytes come later.
            "loser_of_a_race_finds_a_whole_object" if create && old.is_none() && len == 200_000 => {
                world.memory.plant(at, Bytes::new());
                let mut undo = Undo(world, Some(|world: &World| drop(world.memory.pluck(at))));
                dawdle().await;
                options.mode = PutMode::Overwrite;
                self.inner().put(at, body, &options).await?;
                undo.1 = None;
                return Ok(());
            }
            "put_is_never_seen_half" if !create && old.is_none() && len == 2 << 20 => {
                return self.put_in_place(at, body).await;
            }
            "overwrite_shows_old_or_new" if old.is_some() && len == 4_000_000 => {
                return self.put_in_place(at, body).await;
            }
            "dropped_put_is_whole_or_absent" if create && len == 3_000_000 => {
                return self.put_in_place(at, body).await;
            }
            "dropped_overwrite_is_old_or_new" if old.is_some() && len == 2_000_000 => {
                return self.put_in_place(at, body).await;
            }
            // An overwrite that removes the name for a moment.
            "kept_objects_stay_listed_during_changes" if old.is_some() && len == 20 => {
                world.state().in_flight.insert(at.clone());
                let done = |world: &World| {
                    world.state().in_flight.remove(at);
                };
                let _undo = Undo(world, Some(done));
                dawdle().await;
                return self.inner().put(at, body, &options).await;
            }
            "key_is_free_again"
                if create && at.as_str().starts_with("again/") && world.state().deleted.contains(at) =>
            {
                return refuse(StorageErrorKind::AlreadyExists);
            }
            // One buffer for all calls.
            "distinct_keys_in_parallel" if len == 7_000 => {
                world.state().shared_body = body.to_bytes();
                dawdle().await;
                body = world.state().shared_body.clone().into();
            }
            "readers_never_go_back" if at.as_str() == "register" => {
                let mut state = world.state();
                state.first_version = state.first_version.take().or(old);
            }
            "second_client_sees_put" if at.as_str().starts_with("seen/") => {
                self.cache.lock().unwrap().insert(at.clone(), body.to_bytes());
            }
            _ => {}
        }
        if self.has("one_key_history_is_linearizable") {
            let at = at.clone();
            world.state().in_flight.insert(at.clone());
            let _undo = Undo(
                world,
                Some(move |world: &World| {
                    world.state().in_flight.remove(&at);
                }),
            );
            dawdle().await;
            return self.inner().put(&to, body, &options).await;
        }
        let result = self.inner().put(&to, body, &options).await;
        match result {
            Err(error)
                if self.has("full_store_refuses_and_goes_on") && error.kind() == StorageErrorKind::QuotaExceeded =>
            {
                refuse(StorageErrorKind::Unavailable)
            }
            other => other,
        }
    }

    pub(super) async fn get_with_bugs(&self, at: &ObjectKey, mut range: ByteRange) -> StorageResult<Bytes> {
        let world = &self.world;
        if world.state().poisoned {
            return Err(error(StorageErrorKind::Other, StorageOperation::Get, at));
        }
        let len = world.memory.peek(at).map(|bytes| bytes.len() as u64);
        let outside = || error(StorageErrorKind::RangeNotSatisfiable, StorageOperation::Get, at);
        match (self.bug.unwrap_or_default(), range, len) {
            ("span_is_exact", ByteRange::Span { offset_bytes, len_bytes: 0 }, Some(len)) if offset_bytes == len => {
                return Err(outside());
            }
            ("span_outside_is_refused", ByteRange::Span { offset_bytes, len_bytes }, Some(len))
                if offset_bytes < len =>
            {
                range = ByteRange::Span { offset_bytes, len_bytes: len_bytes.min(len - offset_bytes) };
            }
            // Seek and read in two steps on one handle.
            ("spans_in_parallel", ByteRange::Span { offset_bytes, len_bytes }, Some(_)) => {
                world.state().shared_cursor = offset_bytes;
                dawdle().await;
                range = ByteRange::Span { offset_bytes: world.state().shared_cursor, len_bytes };
            }
            // Parts that are a byte longer than they are taken for.
            ("spans_across_parts", ByteRange::Span { offset_bytes, len_bytes }, Some(_))
                if offset_bytes > 0 && offset_bytes < 1 << 20 && offset_bytes + len_bytes > 1 << 20 =>
            {
                range = ByteRange::Span { offset_bytes: offset_bytes - 1, len_bytes };
            }
            ("suffix_is_exact", ByteRange::Suffix { len_bytes }, Some(len)) if len_bytes > len => {
                return Err(outside());
            }
            ("missing_is_not_found", ByteRange::Span { len_bytes: 0, .. }, None) => return Ok(Bytes::new()),
            ("readers_never_go_back", _, _) if at.as_str() == "register" => {
                let mut state = world.state();
                state.reads += 1;
                // A replica that is stuck.
                if let (0, Some(first)) = (state.reads % 3, &state.first_version) {
                    return Ok(first.clone());
                }
            }
            ("second_client_sees_put", ByteRange::Full, Some(_)) if self.number > 0 => {
                let cached = self.cache.lock().unwrap().get(at).cloned();
                if let Some(bytes) = cached {
                    return Ok(bytes);
                }
            }
            // An answer that was remembered.
            ("one_key_history_is_linearizable", _, Some(_)) if world.state().hidden.remove(at) => {
                return Err(error(StorageErrorKind::NotFound, StorageOperation::Get, at));
            }
            _ => {}
        }
        let result = self.inner().get(at, range).await;
        match (self.bug.unwrap_or_default(), result) {
            ("read_cut_short_is_no_success", Err(_)) if world.state().trouble == Some(Trouble::GetBreaks) => {
                Ok(world.memory.peek(at).unwrap_or_default().slice(..1_000))
            }
            ("put_get_roundtrip", Ok(bytes)) if at.name() == "small" => Ok(bytes.slice(..bytes.len() - 1)),
            ("second_client_sees_put", Ok(bytes)) if at.as_str().starts_with("seen/") => {
                self.cache.lock().unwrap().insert(at.clone(), bytes.clone());
                Ok(bytes)
            }
            ("names_operation_and_key", Err(error)) if error.kind() == StorageErrorKind::NotFound => {
                Err(StorageError::new(StorageErrorKind::NotFound, StorageOperation::Get))
            }
            ("settled_failures_are_not_to_be_repeated", Err(error)) if error.kind() == StorageErrorKind::NotFound => {
                Err(error.with_retry(RetryAdvice::Verify))
            }
            (_, result) => result,
        }
    }

    pub(super) async fn stat_with_bugs(&self, at: &ObjectKey) -> StorageResult<ObjectMeta> {
        let result = self.inner().stat(at).await;
        match (self.bug.unwrap_or_default(), result) {
            ("stat_matches_put", Ok(meta)) => Ok(ObjectMeta { size_bytes: meta.size_bytes % 65_536, ..meta }),
            ("deleted_is_gone", Err(error))
                if self.number > 0
                    && at.as_str().starts_with("gone")
                    && self.world.state().ever_stored.contains(at) =>
            {
                assert_eq!(error.kind(), StorageErrorKind::NotFound);
                Ok(ObjectMeta { key: at.clone(), size_bytes: 1_000, stored_at: None })
            }
            (_, result) => result,
        }
    }

    pub(super) fn list_with_bugs<'a>(&'a self, prefix: &'a KeyPrefix) -> BoxStream<'a, StorageResult<ObjectMeta>> {
        let objects = self.inner().list(prefix);
        let all = async move |objects: BoxStream<'a, _>| objects.try_collect::<Vec<ObjectMeta>>().await;
        let items = |result: StorageResult<Vec<ObjectMeta>>| match result {
            Ok(all) => stream::iter(all.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(error) => stream::iter(vec![Err(error)]),
        };
        match self.bug.unwrap_or_default() {
            "every_object_once" => objects
                .enumerate()
                .flat_map(|(n, object)| {
                    // The last object of a page is the first of the next one too.
                    let again = object.as_ref().ok().filter(|_| n == 999).cloned();
                    stream::iter([object]).chain(stream::iter(again.map(Ok)))
                })
                .boxed(),
            "only_under_the_prefix" if !prefix.as_str().is_empty() => {
                static EVERYTHING: std::sync::LazyLock<KeyPrefix> = std::sync::LazyLock::new(KeyPrefix::all);
                let matches = |meta: &ObjectMeta| meta.key.as_str().contains(prefix.as_str());
                let kept = self.inner().list(&EVERYTHING).try_filter(move |meta| std::future::ready(matches(meta)));
                kept.boxed()
            }
            "nothing_is_an_empty_listing" if prefix.as_str().len() > 10 => {
                let listed = async move {
                    let found = all(objects).await?;
                    match found.is_empty() {
                        true => Err(StorageError::new(StorageErrorKind::NotFound, StorageOperation::List)),
                        false => Ok(found),
                    }
                };
                stream::once(listed).map(items).flatten().boxed()
            }
            "kept_objects_stay_listed_during_changes" => {
                objects.try_filter(|meta| std::future::ready(!self.world.state().in_flight.contains(&meta.key))).boxed()
            }
            // One place in the listing for all who list.
            "listings_at_once_are_whole" if prefix.as_str() == "crowd/" => {
                self.world.state().listings += 1;
                let done = Undo(&self.world, Some(|world: &World| world.state().listings -= 1));
                objects
                    .enumerate()
                    .filter_map(move |(n, object)| {
                        let alone = done.0.state().listings == 1;
                        std::future::ready((alone || n % 50 != 0).then_some(object))
                    })
                    .boxed()
            }
            "put_and_delete_show" if self.number > 0 => {
                let listed = async move {
                    let cached = self.first_listing.lock().unwrap().clone();
                    if let Some(cached) = cached {
                        return Ok(cached);
                    }
                    let found = all(objects).await?;
                    *self.first_listing.lock().unwrap() = Some(found.clone());
                    Ok(found)
                };
                stream::once(listed).map(items).flatten().boxed()
            }
            "failure_is_not_the_end" => objects.take_while(|object| std::future::ready(object.is_ok())).boxed(),
            "foreign_names_are_not_listed" if !self.world.state().foreign.is_empty() => {
                let refused = StorageError::new(StorageErrorKind::Other, StorageOperation::List);
                stream::iter([Err(refused)]).boxed()
            }
            // A listing that is left before its end keeps the connection busy.
            "dropped_reads_are_harmless" if prefix.as_str().is_empty() => {
                let busy = Undo(&self.world, Some(|world: &World| world.state().poisoned = true));
                objects
                    .map(Some)
                    .chain(stream::iter([None]))
                    .scan(busy, |busy, object| {
                        if object.is_none() {
                            busy.1 = None;
                        }
                        std::future::ready(object)
                    })
                    .boxed()
            }
            _ => objects,
        }
    }

    pub(super) async fn delete_with_bugs(&self, at: &ObjectKey) -> StorageResult<()> {
        let memory = &self.world.memory;
        match self.bug.unwrap_or_default() {
            "missing_is_success" if memory.peek(at).is_none() && at.as_str().starts_with("never/") => {
                return Err(error(StorageErrorKind::NotFound, StorageOperation::Delete, at));
            }
            "racing_deletes_all_succeed" if at.as_str().starts_with("race-delete/") => {
                let found = memory.peek(at).is_some();
                // Not all in step, or everybody looks before anybody deletes.
                for _ in 0..=self.number * 3 {
                    dawdle().await;
                }
                if found && memory.peek(at).is_none() {
                    return Err(error(StorageErrorKind::NotFound, StorageOperation::Delete, at));
                }
            }
            "only_that_object" => {
                let family = format!("{at}-");
                for other in memory.keys().into_iter().filter(|other| other.as_str().starts_with(&family)) {
                    memory.pluck(&other);
                }
            }
            "read_during_delete_is_whole_or_absent" => {
                if let Some(bytes) = memory.peek(at).filter(|bytes| bytes.len() >= 500_000) {
                    memory.plant(at, bytes.slice(..bytes.len() / 2));
                    dawdle().await;
                }
            }
            // That nothing is there is remembered, even though something comes just then.
            "one_key_history_is_linearizable" if world_has_in_flight(&self.world, at) => {
                self.world.state().hidden.insert(at.clone());
            }
            "second_client_sees_put" => drop(self.cache.lock().unwrap().remove(at)),
            _ => {}
        }
        self.world.state().deleted.insert(at.clone());
        self.inner().delete(at).await
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // What was still in the client's buffer is lost.
        if self.has("reopened_store_has_everything")
            && self.puts() >= 20
            && let Some(last) = self.last_put.lock().unwrap().take()
        {
            self.world.memory.pluck(&last);
        }
    }
}
