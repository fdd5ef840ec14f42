//! Listings and their cursors.

use serde_json::json;

use super::super::answer::Success;
use super::super::errors::{LookupError, tagged};
use super::super::faults::Fault;
use super::super::listing::{Cursor, Paging};
use super::files::reset;
use super::{Call, Failure, Outcome, text};

impl Call<'_> {
    pub(super) fn list_folder(&mut self) -> Outcome {
        let cursor = self.begin_listing(false)?;
        self.page(&cursor)
    }

    pub(super) fn list_folder_continue(&mut self) -> Outcome {
        let cursor = self.cursor()?;
        if cursor.namespace != self.namespace {
            return Err(Failure::BadRequest("The cursor is of another namespace.".to_owned()));
        }
        self.page(&cursor)
    }

    pub(super) fn latest_cursor(&mut self) -> Outcome {
        let cursor = self.begin_listing(true)?;
        Ok(Success::Json(json!({ "cursor": cursor.word() })))
    }

    /// Tells at once whether there are changes; the real one waits for some.
    pub(super) fn longpoll(&mut self) -> Outcome {
        let cursor = self.cursor()?;
        let changes = self.account.tree(cursor.namespace).has_news(&cursor);
        Ok(Success::Json(json!({ "changes": changes })))
    }

    fn begin_listing(&mut self, of_now: bool) -> Result<Cursor, Failure> {
        if text(self.argument, "path") == "/" {
            let sentence = "request body: path: the root folder is named by an empty string, not by \"/\"";
            return Err(Failure::BadRequest(sentence.to_owned()));
        }
        let target = self.target(self.argument, "path").map_err(|error| tagged("path", LookupError::from(error)))?;
        let (generation, argument) = (self.account.generation, self.argument);
        let cursor = self.tree().cursor(target, generation, argument, of_now);
        Ok(cursor.map_err(|error| tagged("path", error))?)
    }

    fn cursor(&self) -> Result<Cursor, Failure> {
        let cursor = Cursor::read(text(self.argument, "cursor"));
        let cursor = cursor.filter(|cursor| self.account.has_namespace(cursor.namespace));
        let cursor = cursor.ok_or_else(|| Failure::BadRequest("Invalid \"cursor\" parameter".to_owned()))?;
        if cursor.generation != self.account.generation || self.fault == Some(Fault::ResetCursor) {
            return Err(reset().into());
        }
        Ok(cursor)
    }

    fn page(&self, cursor: &Cursor) -> Outcome {
        let behaviour = self.account.behaviour;
        let paging = Paging { at_most: behaviour.page_entries, empty_pages: behaviour.empty_pages };
        let page = self.account.tree(cursor.namespace).page(cursor, paging);
        Ok(Success::Json(page.map_err(|error| tagged("path", error))?))
    }
}
