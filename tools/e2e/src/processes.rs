//! Child processes that never outlive this one's will: they are killed when it is
//! told to stop, when it runs out of time, and when whoever started them is done.

use std::{
    process::{Child, Command, ExitStatus},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

/// Exit code of a run that was told to stop, as a shell would have it.
const EXIT_STOPPED: i32 = 130;
/// Pause between two looks at a child.
const NAP: Duration = Duration::from_millis(20);

static RUNNING: Mutex<Vec<Arc<Mutex<Child>>>> = Mutex::new(Vec::new());

/// A lock is only ever held for a call on a child.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn kill_all() {
    for child in locked(&RUNNING).iter() {
        kill(child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = locked(child);
    // It may have ended already, which is what is wanted.
    let _ = child.kill().and_then(|()| child.wait());
}

/// Ends this process and its children at the first signal, and after `limit`.
///
/// # Errors
/// When no handler can be installed.
pub fn stop_on_signals_and_after(limit: Duration) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            kill_all();
            std::process::exit(EXIT_STOPPED);
        }
    });
    thread::spawn(move || {
        thread::sleep(limit);
        eprintln!("e2e: not done after {} s: stopped", limit.as_secs());
        kill_all();
        std::process::exit(1);
    });
    Ok(())
}

/// A running child; killed when dropped.
pub struct Process {
    name: String,
    child: Arc<Mutex<Child>>,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        let child = Arc::new(Mutex::new(child));
        locked(&RUNNING).push(Arc::clone(&child));
        Ok(Self { name, child })
    }

    /// The child itself, for its pipes.
    pub fn child(&self) -> MutexGuard<'_, Child> {
        locked(&self.child)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it is still running after `limit`.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child().try_wait()? {
                return Ok(status);
            }
            if started.elapsed() >= limit {
                bail!("{} is still running after {} s", self.name, limit.as_secs());
            }
            thread::sleep(NAP);
        }
    }

    /// Asks it to end, as `kill` does.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn terminate(&self) -> Result<()> {
        let id = self.child().id().to_string();
        // The shell's own: a bare Debian has no program of this name.
        let status = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &id]).status()?;
        if !status.success() {
            bail!("{} cannot be asked to end", self.name);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
        locked(&RUNNING).retain(|child| !Arc::ptr_eq(child, &self.child));
    }
}
