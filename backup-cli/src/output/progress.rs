//! How a running operation is shown: bars on a terminal, `status` lines in JSON, nothing else otherwise.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use backup_core::{Clock, Event, Monitor, Phase, Work};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Output, human};

/// Time between two `status` lines; a person sees it move, a log is not flooded.
const STATUS_EVERY: Duration = Duration::from_millis(250);

/// Before that, a rate says nothing.
const FIRST_RATE: Duration = Duration::from_millis(500);

/// Shows events of an operation.
pub(crate) struct Progress {
    output: Output,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    phase: Option<Phase>,
    began: Duration,
    reported: Option<Duration>,
    bar: Option<ProgressBar>,
    /// How much there is, found out by somebody else than the operation.
    estimate: Option<Work>,
}

#[derive(Serialize)]
struct Status {
    phase: &'static str,
    items: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_items: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    percent: Option<f64>,
    elapsed_seconds: f64,
    bytes_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<u64>,
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}

impl Progress {
    pub(crate) fn new(output: &Output, clock: &Arc<dyn Clock>) -> Arc<Self> {
        let state = State { phase: None, began: Duration::ZERO, reported: None, bar: None, estimate: None };
        Arc::new(Self { output: output.clone(), clock: Arc::clone(clock), state: Mutex::new(state) })
    }

    /// Whether anything is shown at all.
    pub(crate) fn is_shown(&self) -> bool {
        self.output.options.bars || self.output.options.json
    }

    /// Says how much there is, for operations that don't know it themselves.
    pub(crate) fn estimate(&self, work: Work) {
        self.state().estimate = Some(work);
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = self.state().bar.take() {
            bar.finish_and_clear();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, phase: Phase, total: Option<Work>) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.phase = Some(phase);
        state.began = now;
        state.reported = None;
        if self.output.options.bars {
            if let Some(bar) = state.bar.take() {
                bar.finish_and_clear();
            }
            let bar = self.output.bars().add(ProgressBar::no_length());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_style(style(total));
            bar.set_prefix(title(phase));
            state.bar = Some(bar);
        }
        drop(state);
        self.progress(phase, Work::default(), total);
    }

    fn progress(&self, phase: Phase, done: Work, total: Option<Work>) {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.phase != Some(phase) {
            return;
        }
        let total = total.or(state.estimate.filter(|estimate| phase == Phase::Capture && covers(*estimate, done)));
        let elapsed = now.saturating_sub(state.began);
        if let Some(bar) = &state.bar {
            show(bar, done, total, elapsed);
        }
        let is_due = state.reported.is_none_or(|reported| now.saturating_sub(reported) >= STATUS_EVERY);
        if self.output.is_json() && is_due {
            state.reported = Some(now);
            drop(state);
            // Nobody has to read along for an operation to go on.
            let _ = self.output.json("status", &status(phase, done, total, elapsed));
        }
    }
}

fn covers(total: Work, done: Work) -> bool {
    total.items >= done.items && total.bytes >= done.bytes
}

/// Bytes where there are any, else items: what a fraction and an end are reckoned from.
fn measure(done: Work, total: Work) -> (u64, u64) {
    if total.bytes > 0 { (done.bytes, total.bytes) } else { (done.items, total.items) }
}

fn eta(done: Work, total: Option<Work>, elapsed: Duration) -> Option<Duration> {
    let (done, total) = measure(done, total?);
    if done == 0 || elapsed < FIRST_RATE {
        return None;
    }
    let millis = elapsed.as_millis() * u128::from(total.saturating_sub(done)) / u128::from(done);
    Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX)))
}

#[expect(clippy::cast_precision_loss, reason = "a percentage for people")]
fn percent(done: Work, total: Option<Work>) -> Option<f64> {
    let (done, total) = measure(done, total?);
    (total > 0).then(|| (done as f64 / total as f64 * 1000.0).round() / 10.0)
}

fn status(phase: Phase, done: Work, total: Option<Work>, elapsed: Duration) -> Status {
    Status {
        phase: name(phase),
        items: done.items,
        bytes: done.bytes,
        total_items: total.map(|total| total.items),
        total_bytes: total.map(|total| total.bytes),
        percent: percent(done, total),
        elapsed_seconds: (elapsed.as_secs_f64() * 1000.0).round() / 1000.0,
        bytes_per_second: human::per_second(done.bytes, elapsed),
        eta_seconds: eta(done, total, elapsed).map(|eta| eta.as_secs()),
    }
}

fn style(total: Option<Work>) -> ProgressStyle {
    let template = match total {
        Some(_) => "{prefix:>10} {wide_bar} {percent:>3} %  {msg}",
        None => "{prefix:>10} {spinner} {msg}",
    };
    ProgressStyle::with_template(template).expect("the templates are constants").progress_chars("━━ ")
}

fn show(bar: &ProgressBar, done: Work, total: Option<Work>, elapsed: Duration) {
    if let Some(total) = total {
        let (done, total) = measure(done, total);
        if bar.length().is_none() {
            bar.set_style(style(Some(Work::default())));
        }
        bar.set_length(total);
        bar.set_position(done);
    }
    let mut text = human::count(done.items);
    if done.bytes > 0 {
        text.push_str(&format!("  {}", human::size(done.bytes)));
        if elapsed >= FIRST_RATE {
            text.push_str(&format!("  {}", human::rate(done.bytes, elapsed)));
        }
    }
    if let Some(eta) = eta(done, total, elapsed) {
        text.push_str(&format!("  {} left", human::span(Duration::from_secs(eta.as_secs()))));
    }
    bar.set_message(text);
}

/// A phase in JSON.
fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Open => "open",
        Phase::Capture => "capture",
        Phase::Commit => "commit",
        Phase::Plan => "plan",
        Phase::Restore => "restore",
        Phase::CheckStructure => "check_structure",
        Phase::CheckData => "check_data",
        Phase::RebuildIndex => "rebuild_index",
        _ => "other",
    }
}

/// A phase for people.
fn title(phase: Phase) -> &'static str {
    match phase {
        Phase::Open => "opening",
        Phase::Capture => "storing",
        Phase::Commit => "committing",
        Phase::Plan => "planning",
        Phase::Restore => "restoring",
        Phase::CheckStructure => "checking",
        Phase::CheckData => "reading",
        Phase::RebuildIndex => "rebuilding",
        _ => "working",
    }
}

impl Monitor for Progress {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::PhaseStarted { phase, total } => self.started(*phase, *total),
            Event::Progress { phase, done, total } => self.progress(*phase, *done, *total),
            Event::Notice { message } => self.output.say(message),
            // Problems are in the operation's report, which is shown when it ends.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DONE: Work = Work { items: 5, bytes: 250 };

    #[test]
    fn end_is_reckoned_from_bytes_and_from_items_where_there_are_none() {
        let after = Duration::from_secs(10);
        assert_eq!(eta(DONE, Some(Work { items: 6, bytes: 1000 }), after), Some(Duration::from_secs(30)));
        assert_eq!(eta(DONE, Some(Work { items: 10, bytes: 0 }), after), Some(after));
        assert_eq!(eta(DONE, None, after), None);
        assert_eq!(eta(Work::default(), Some(DONE), after), None);
        assert_eq!(eta(DONE, Some(DONE), Duration::from_millis(1)), None, "too early to tell");
    }

    #[test]
    fn percentage_has_one_decimal_and_needs_a_total() {
        assert_eq!(percent(DONE, Some(Work { items: 0, bytes: 1500 })), Some(16.7));
        assert_eq!(percent(DONE, None), None);
        assert_eq!(percent(DONE, Some(Work::default())), None);
    }
}
