//! Holds the terminal of a command in a container that its program has left there. A terminal that nobody holds hangs up, and
//! one that nobody reads makes its process wait.
//!
//! | descriptor | what it is |
//! |---|---|
//! | 3 | the host's end of the terminal |
//! | 4 | pidfd of the program, which reads what the terminal shows as long as it lives |

use crate::kernel;
use crate::numbers::*;

const TERMINAL: i32 = 3;
const PROGRAM: i32 = 4;

pub fn run() -> ! {
    kernel::block_signals();
    kernel::name(b"plywood-holder\0");
    match kernel::fork(0) {
        Ok(0) => {}
        Ok(_) => kernel::exit(0),
        Err(_) => kernel::exit(1),
    }
    // No event of a terminal but its end is waited for.
    let [has_ended, _] = kernel::poll_events([(TERMINAL, 0), (PROGRAM, POLLIN)], u64::MAX);
    if has_ended {
        kernel::exit(0);
    }
    kernel::close(PROGRAM);
    let mut block = [0; 1024];
    loop {
        kernel::poll([TERMINAL]);
        match kernel::read(TERMINAL, &mut block) {
            Ok(1..) | Err(EAGAIN | EINTR) => {}
            _ => kernel::exit(0),
        }
    }
}
