//! A program at a terminal of the test's, which types and sees what is shown.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

/// How long a program may take to show what is waited for.
pub const PATIENCE: Timespec = Timespec { tv_sec: 30, tv_nsec: 0 };

/// A program at a terminal of the test's; killed if the test fails.
pub struct Seat {
    pub master: File,
    /// Keeps the terminal, and tells its modes.
    peer: OwnedFd,
    pub child: Child,
    shown: String,
}

impl Seat {
    pub fn new(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let peer = ioctl_tiocgptpeer(&master, OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        tcsetwinsize(&master, Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        let stream = || Stdio::from(peer.try_clone().unwrap());
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { master: master.into(), peer, child, shown: String::new() }
    }

    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until this is shown, and forgets what was shown up to there; what came before it.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.shown.find(text) {
                let rest = self.shown.split_off(at + text.len());
                let mut before = std::mem::replace(&mut self.shown, rest);
                before.truncate(at);
                return before;
            }
            let ready = poll(&mut [PollFd::new(&self.master, PollFlags::IN)], Some(&PATIENCE)).unwrap();
            assert_eq!(ready, 1, "{text:?} is not shown, but {:?}", self.shown);
            let mut block = [0; 4096];
            let read = self.master.read(&mut block).unwrap();
            self.shown.push_str(&String::from_utf8_lossy(&block[..read]));
        }
    }

    /// Waits until the terminal hands on every key.
    pub fn wait_for_raw(&self) {
        while !self.is_raw() {
            std::thread::yield_now();
        }
    }

    /// Whether the terminal hands on every key.
    pub fn is_raw(&self) -> bool {
        !tcgetattr(&self.peer).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    /// Closes the terminal; the exit code of the program that was at it.
    pub fn hang_up(mut self) -> Option<i32> {
        // The drop of what is left here waits for the end, which has come then.
        self.master = File::open("/dev/null").unwrap();
        self.peer = self.master.try_clone().unwrap().into();
        self.child.wait().unwrap().code()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit code; the terminal is as it was.
    pub fn end(mut self) -> i32 {
        let code = self.child.wait().unwrap().code().unwrap();
        assert!(!self.is_raw(), "the terminal was not given back");
        code
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
