//! What the store knows of a start: which process it is, and whether that outlives this program.

use super::events::Action;
use super::handle::{Handle, Inner};
use super::health;
use super::record::Run;
use super::store::Files;
use super::undecided::Undecided;
use crate::error::Result;
use crate::runtime::Process;
use crate::spec::time::Timestamp;
use crate::sys::cgroup::Group;

impl Handle {
    /// Records the start of a container that its supervisor has, and lets go of it. It is kept from here on: a program that
    /// is killed before leaves nothing.
    pub(super) fn record_kept(
        &self,
        inner: &mut Inner,
        process: &Process,
        started_at: Timestamp,
        undecided: Undecided,
    ) -> Result<()> {
        let was_guard = inner.is_guard();
        if let Some(record) = inner.record_mut() {
            record.kept = true;
            // One that is removed at its end goes with its supervisor, whatever becomes of that.
            record.guard = record.may_remove_itself();
        }
        let run = Run::of(process.pid(), process.start_time(), started_at);
        let recorded = self.record_start(inner, run, process.group().as_ref(), Some(undecided));
        // They are its supervisor's.
        self.sockets.ports.clear();
        if recorded.is_ok() {
            self.tell(Action::Start);
        }
        let recorded = match recorded.and_then(|()| self.store().sync(self.id())) {
            // It has ended already, and its supervisor was faster to remove it.
            Err(_) if inner.is_guard() && !self.store().root().container_dir(self.id()).exists() => Ok(()),
            recorded => recorded,
        };
        inner.reaper.has_none();
        match &recorded {
            Ok(()) => {
                inner.reaper.keep_files();
                // The lock is the supervisor's too, and stays.
                inner.hand_over();
            }
            // Nobody would ever find it.
            Err(_) => {
                // One that has a restart policy would come back.
                let _ = self.cancel_restarts();
                let _ = process.signal(libc::SIGKILL);
                self.tell_again(inner, None);
                inner.record_mut().into_iter().for_each(|record| record.guard = was_guard);
                inner.give_back();
            }
        }
        recorded
    }

    /// Records the start of a container: of one that ends with this program before its payload begins.
    pub(super) fn record_start(
        &self,
        inner: &mut Inner,
        run: Run,
        group: Option<&Group>,
        undecided: Option<Undecided>,
    ) -> Result<()> {
        let started_at = run.started_at;
        let cgroup = group.into_iter().flat_map(Group::directories).map(ToOwned::to_owned).collect();
        let Some(files) = &mut inner.files else { return Ok(()) };
        if let Some(record) = &mut files.record {
            record.run = Some(run);
            record.cgroup = cgroup;
            record.exit = None;
        }
        self.record_ports(files);
        files.config.restart_count = 0;
        files.config.has_been_manually_stopped = false;
        files.config.state.started_at = started_at.to_string();
        files.config.has_been_started_before = true;
        health::begin(&mut files.config);
        match (undecided, &files.record) {
            (Some(undecided), Some(record)) => {
                undecided.decide(record)?;
                self.store().write_config(self.id(), files)?;
            }
            _ => self.store().write(self.id(), files)?,
        }
        Ok(())
    }

    /// Takes the record of a start back, if there is one: the payload could not begin.
    pub(super) fn unrecord_start(&self, inner: &mut Inner, before: Files) {
        if inner.record_mut().is_none_or(|record| record.run.is_none()) {
            return;
        }
        if let Err(error) = self.store().write(self.id(), &before) {
            tracing::warn!("{} could not be recorded as one that did not start: {error}", self.title());
        }
        inner.files = Some(Box::new(before));
    }
}
