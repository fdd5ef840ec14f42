//! Runs the binary call by call: counts the system calls that make something last, and kills it, or lets a call fail, at
//! exactly one of them.
//!
//! `strace` counts the calls of each thread by itself; a store is written by several threads, so that its n-th call of one
//! thread misses most of those of the whole process.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use nix::errno::Errno;
use nix::libc::{self, c_long};
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// System calls with their names.
pub(crate) type Calls = &'static [(c_long, &'static str)];

/// What gives names, takes them away, or makes bytes and names last.
pub(crate) const LASTING: Calls = &[
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_sync_file_range, "sync_file_range"),
    (libc::SYS_syncfs, "syncfs"),
    (libc::SYS_mkdirat, "mkdirat"),
    (libc::SYS_mkdir, "mkdir"),
    (libc::SYS_linkat, "linkat"),
    (libc::SYS_link, "link"),
    (libc::SYS_symlinkat, "symlinkat"),
    (libc::SYS_mknodat, "mknodat"),
    (libc::SYS_renameat, "renameat"),
    (libc::SYS_renameat2, "renameat2"),
    (libc::SYS_rename, "rename"),
    (libc::SYS_unlinkat, "unlinkat"),
    (libc::SYS_unlink, "unlink"),
];

/// What waits until something is on disk.
pub(crate) const FLUSHES: Calls = &[
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_fdatasync, "fdatasync"),
    (libc::SYS_sync_file_range, "sync_file_range"),
    (libc::SYS_syncfs, "syncfs"),
    (libc::SYS_sync, "sync"),
];

/// What happens at a call, counted from 1 over all threads.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// SIGKILL; the call is not made any more.
    Kill(usize),
    /// The call is not made and returns this error.
    Fail(usize, Errno),
}

/// A run that ended, or was ended.
#[derive(Debug)]
pub(crate) struct Stepped {
    /// The exit code; `None` when it was killed.
    pub(crate) code: Option<i32>,
    /// The counted calls that were begun, in order.
    pub(crate) calls: Vec<&'static str>,
    pub(crate) stderr: String,
}

/// Whether this process may trace others; says why not.
pub(crate) fn is_allowed(test: &str) -> bool {
    let tried = std::panic::catch_unwind(|| run(Command::new("true").current_dir("/"), &[], None));
    let works = tried.is_ok_and(|stepped| stepped.code == Some(0));
    if !works {
        eprintln!("SKIPPED {test}: this process may not trace another one");
    }
    works
}

/// Runs a command, to its end or to the fault.
pub(crate) fn run(command: &Command, counted: Calls, fault: Option<Fault>) -> Stepped {
    // Waits for a word, so that nothing is missed before tracing has begun.
    let mut waiting = Command::new("/bin/sh");
    waiting.args(["-c", "read -r go && exec \"$0\" \"$@\" </dev/null"]).arg(command.get_program());
    waiting.args(command.get_args()).env_clear();
    waiting.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    waiting.current_dir(command.get_current_dir().unwrap());
    let mut stderr = tempfile::tempfile().unwrap();
    // Its own group, so that waiting for it takes no other child of this process.
    waiting.process_group(0).stdin(Stdio::piped()).stdout(File::options().write(true).open("/dev/null").unwrap());
    #[expect(clippy::zombie_processes, reason = "the tracer below waits for it")]
    let mut child = waiting.stderr(stderr.try_clone().unwrap()).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL;
    let seized = ptrace::seize(pid, options).and_then(|()| ptrace::interrupt(pid));
    if let Err(error) = seized {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("cannot trace: {error}");
    }
    child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let mut tracer = Tracer { pid, counted, fault, inside: BTreeSet::new(), failing: None, calls: Vec::new() };
    let code = tracer.follow();
    let mut said = Vec::new();
    stderr.rewind().unwrap();
    stderr.read_to_end(&mut said).unwrap();
    Stepped { code, calls: tracer.calls, stderr: String::from_utf8_lossy(&said).into_owned() }
}

struct Tracer {
    pid: Pid,
    counted: Calls,
    fault: Option<Fault>,
    /// Threads between the beginning and the end of a call.
    inside: BTreeSet<Pid>,
    /// The thread whose call is to return an error.
    failing: Option<(Pid, Errno)>,
    calls: Vec<&'static str>,
}

impl Tracer {
    fn follow(&mut self) -> Option<i32> {
        let group = Pid::from_raw(-self.pid.as_raw());
        loop {
            let (thread, signal) = match waitpid(group, Some(WaitPidFlag::__WALL)).unwrap() {
                WaitStatus::Exited(pid, code) if pid == self.pid => return Some(code),
                WaitStatus::Signaled(pid, signal, _) if pid == self.pid => {
                    assert_eq!(signal, Signal::SIGKILL, "it died of something else");
                    return None;
                }
                WaitStatus::PtraceSyscall(thread) => {
                    self.call(thread);
                    (thread, None)
                }
                WaitStatus::PtraceEvent(thread, ..) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                WaitStatus::Exited(thread, _) | WaitStatus::Signaled(thread, ..) => {
                    self.inside.remove(&thread);
                    continue;
                }
                WaitStatus::Continued(_) | WaitStatus::StillAlive => continue,
            };
            allow_gone(ptrace::syscall(thread, signal));
        }
    }

    /// A thread stands at the beginning or the end of a call.
    fn call(&mut self, thread: Pid) {
        if !self.inside.insert(thread) {
            self.inside.remove(&thread);
            if let Some((_, error)) = self.failing.take_if(|(failing, _)| *failing == thread) {
                registers::set_result(thread, -i64::from(error as i32));
            }
            return;
        }
        let Some(number) = registers::call_number(thread) else { return };
        let Some((_, name)) = self.counted.iter().find(|(counted, _)| *counted == number) else { return };
        self.calls.push(name);
        match self.fault {
            Some(Fault::Kill(at)) if at == self.calls.len() => allow_gone(kill(self.pid, Signal::SIGKILL)),
            Some(Fault::Fail(at, error)) if at == self.calls.len() => {
                registers::skip_call(thread);
                self.failing = Some((thread, error));
            }
            _ => {}
        }
    }
}

/// A thread that was killed meanwhile is no error.
fn allow_gone(result: nix::Result<()>) {
    assert!(matches!(result, Ok(()) | Err(Errno::ESRCH)), "{result:?}");
}

/// Where the number and the result of a call stand.
mod registers {
    use super::{Pid, allow_gone, ptrace};

    pub(super) fn call_number(thread: Pid) -> Option<i64> {
        Some(ptrace::getregs(thread).ok()?.orig_rax.cast_signed())
    }

    /// Puts a call in the place of the thread's that there is not.
    pub(super) fn skip_call(thread: Pid) {
        let mut registers = ptrace::getregs(thread).unwrap();
        registers.orig_rax = u64::MAX;
        allow_gone(ptrace::setregs(thread, registers));
    }

    pub(super) fn set_result(thread: Pid, result: i64) {
        let mut registers = ptrace::getregs(thread).unwrap();
        registers.rax = result.cast_unsigned();
        allow_gone(ptrace::setregs(thread, registers));
    }
}
