//! The plan that the SDK hands over in a memory file, and the answer in the same file.
//!
//! ```text
//! answer   64 bytes; the first eight are the failure of the plan, 0 if there is none
//! blob     as `sys/plan.rs` seals it, without a base address
//! ```

use core::cell::UnsafeCell;

use crate::child::{Control, Frame};
use crate::kernel;
use crate::layout::{Header, PARENT, REGISTERS};

/// Bytes in front of the blob.
const ANSWER: usize = 64;

/// A stack for the child that shares our memory and walks the plan: the interpreter needs less than 2 KiB of it.
#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; SIZE]>);
const SIZE: usize = 8192;

// SAFETY: there is one thread.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; SIZE]));

/// A plan that can be walked.
pub struct Plan {
    base: *mut u8,
    size: usize,
    frame: Frame,
}

impl Plan {
    /// Maps the file and puts addresses in place of offsets; `None` if it holds no plan.
    pub fn map(fd: i32) -> Option<Self> {
        let size = kernel::size_of_file(fd).filter(|size| *size >= ANSWER + size_of::<Header>())?;
        let base = kernel::map_shared(fd, size)?;
        let blob = base.wrapping_add(ANSWER);
        // SAFETY: the SDK has written a header there, in a file of at least this size; pages are aligned.
        let header = unsafe { &*blob.cast::<Header>() };
        let offsets = blob.wrapping_add(header.relocations as usize).cast::<u32>();
        let mut number = 0;
        while number < header.relocation_count as usize {
            // SAFETY: the header says how many offsets there are, and that they are aligned.
            let at = unsafe { offsets.wrapping_add(number).read() };
            let word = blob.wrapping_add(at as usize).cast::<u64>();
            // SAFETY: each is the offset of a word of the blob, aligned to 8 bytes.
            let offset = unsafe { word.read() };
            // SAFETY: as above; nobody else writes to it.
            unsafe { word.write((blob.expose_provenance() as u64).wrapping_add(offset)) };
            number = number.wrapping_add(1);
        }
        // Nobody's number: a child of ours that waits at a gate does not end with us.
        let mut registers = [0; REGISTERS];
        if let Some(parent) = registers.get_mut(usize::from(PARENT)) {
            *parent = u64::MAX;
        }
        let frame = Frame {
            blob,
            control: base.cast::<Control>(),
            second_stack: STACK.0.get().expose_provenance(),
            second_stack_size: SIZE,
            registers,
            next: 0,
            remembered: 0,
        };
        Some(Self { base, size, frame })
    }

    /// Walks the plan in this process, which becomes another program or ends.
    pub fn walk(&mut self) -> ! {
        // SAFETY: frame and mapping live as long as the process.
        unsafe { crate::child::run(&raw mut self.frame) }
    }

    /// What whoever walks it says.
    pub fn control(&self) -> &Control {
        // SAFETY: the answer is in front of the blob, and its fields are atomic.
        unsafe { &*self.base.cast::<Control>() }
    }

    /// Gives the memory back.
    pub fn unmap(self) {
        // SAFETY: nothing refers to the mapping any more; the frame is dropped with it.
        unsafe { kernel::unmap(self.base, self.size) };
    }

    /// Walks the plan in a child; its number once it is another program, `None` if that failed.
    pub fn walk_in_child(mut self) -> Option<i32> {
        let top = STACK.0.get().cast::<u8>().wrapping_add(SIZE);
        // SAFETY: nobody else uses the stack, and frame and mapping stay until the child has let go of them.
        let child = unsafe { kernel::vfork(top, &raw mut self.frame) };
        let failure = self.control().failure.load(core::sync::atomic::Ordering::Acquire);
        self.unmap();
        match (child, failure) {
            (Ok(pid), 0) => Some(pid),
            (Ok(pid), _) => {
                let _ = kernel::wait(pid, 0);
                None
            }
            (Err(_), _) => None,
        }
    }
}

const _: () = assert!(size_of::<Control>() <= ANSWER);
