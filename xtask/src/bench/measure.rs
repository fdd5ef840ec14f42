//! Runs one child and asks the kernel what it cost.

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::Serialize;

/// Lines of a log that are shown when a tool fails.
const SHOWN_LINES: usize = 8;

/// What one child cost, with every process that it started and waited for.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) wall_s: f64,
    /// User and system time.
    pub(crate) cpu_s: f64,
    /// Resident memory of its largest process at its highest. The kernel counts our own before `exec` in, so this is at least
    /// the few MiB that xtask itself takes.
    pub(crate) peak_mib: f64,
    /// CPU time that the rest of the machine took meanwhile, the kernel's own work for the child included: a measurement with
    /// much of it was disturbed. `None` where the system does not tell.
    pub(crate) others_cpu_s: Option<f64>,
    pub(crate) success: bool,
}

/// Runs a command to its end, with its output added to a log.
#[cfg(unix)]
pub(crate) fn run(command: &mut Command, log: &Path) -> Result<Figures> {
    use wait4::Wait4;

    let open = || OpenOptions::new().create(true).append(true).open(log);
    let output = open().with_context(|| format!("cannot open {}", log.display()))?;
    let errors = output.try_clone().context("cannot share the log")?;
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    let busy_before = busy_s();
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start `{}`", crate::process::shown(command)))?;
    let used = child.wait4().context("cannot wait for a child")?;
    let wall = start.elapsed();
    let cpu_s = (used.rusage.utime + used.rusage.stime).as_secs_f64();
    let busy = busy_before.zip(busy_s()).map(|(before, after)| after - before);
    Ok(Figures {
        wall_s: wall.as_secs_f64(),
        cpu_s,
        others_cpu_s: busy.map(|busy| (busy - cpu_s).max(0.0)),
        peak_mib: mib(used.rusage.maxrss),
        success: used.status.success(),
    })
}

#[cfg(not(unix))]
pub(crate) fn run(_: &mut Command, _: &Path) -> Result<Figures> {
    anyhow::bail!("cargo xtask bench needs a Unix system: it asks the kernel for a child's CPU time and peak memory")
}

/// CPU time that the whole machine has spent working since it started, time that its host took away included.
fn busy_s() -> Option<f64> {
    // Linux counts this file in hundredths of a second on every architecture.
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    busy_ticks(text.lines().next()?).map(|ticks| f64::from(ticks) / 100.0)
}

/// Adds up `cpu user nice system idle iowait irq softirq steal …` without the two that are idle. What follows is counted in
/// `user` already.
fn busy_ticks(line: &str) -> Option<u32> {
    let fields: Vec<u64> =
        line.strip_prefix("cpu ")?.split_whitespace().map_while(|field| field.parse().ok()).collect();
    let working = fields.get(..8)?.iter().enumerate().filter(|(place, _)| !matches!(place, 3 | 4));
    u32::try_from(working.map(|(_, ticks)| ticks).sum::<u64>()).ok()
}

/// Waits until everything written so far is on the disk.
pub(crate) fn settle() {
    #[cfg(unix)]
    rustix::fs::sync();
}

/// Bytes as MiB, exact to a KiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}

/// The end of a log, for an error message.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_measured_and_its_output_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut busy = Command::new("sh");
        busy.args(["-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo said; exit 3"]);
        let figures = run(&mut busy, &log).unwrap();
        assert!(!figures.success);
        assert!(figures.cpu_s > 0.005 && figures.wall_s >= figures.cpu_s * 0.5, "{figures:?}");
        assert!(figures.peak_mib > 0.5 && figures.peak_mib < 200.0, "{figures:?}");
        assert_eq!(last_lines(&log), "said");
        assert!(run(&mut Command::new("true"), &log).unwrap().success);
    }

    #[test]
    fn memory_of_a_child_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        // dd fills its whole buffer once.
        let mut large = Command::new("dd");
        large.args(["if=/dev/zero", "of=/dev/null", "bs=300M", "count=1"]);
        let figures = run(&mut large, &log).unwrap();
        assert!(figures.success && figures.peak_mib > 300.0, "{figures:?}");
    }

    #[test]
    fn time_of_the_whole_machine_leaves_out_what_was_idle() {
        assert_eq!(busy_ticks("cpu  1 2 4 1000 1000 8 16 32 64 128"), Some(63));
        assert_eq!(busy_ticks("cpu0 1 2 4 8 16 32 64 128"), None);
        assert_eq!(busy_ticks("cpu 1 2 3"), None);
    }

    #[test]
    fn mib_counts_in_1024s() {
        assert!((mib(3 << 20) - 3.0).abs() < f64::EPSILON);
        assert!((mib((5 << 40) - 1) - f64::from(u32::MAX) / 1024.0).abs() < 1.0);
    }
}
