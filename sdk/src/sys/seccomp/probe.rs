//! A program for tests that makes system call 0 to 599, each in a process of its own and with arguments of 0.
//!
//! It writes the 600 results as numbers of 32 bits. The largest stands for a call that did not return, such as `exit`
//! or `pause`. The first letter of its argument says how calls are made: `n`atively, with the bit of `x`32, or
//! `c`ompatibly, as a program of 32 bits does.
//!
//! It is machine code in an ELF file of a single segment, so that it needs neither a compiler nor a library where it runs.
//!
//! # Safety
//! The code is never run in this process; it is read as bytes.
#![allow(unsafe_code)]

/// How many calls it makes.
pub(crate) const CALLS: usize = 600;

std::arch::global_asm!(
    ".pushsection .rodata.plywood_probe,\"a\"",
    "plywood_probe_start:",
    "mov rbx, [rsp + 16]",
    "movzx r15d, byte ptr [rbx]",
    // Shared memory for the results: mmap.
    "mov eax, 9",
    "xor edi, edi",
    "mov esi, 4096",
    "mov edx, 3",
    "mov r10d, 0x21",
    "mov r8, -1",
    "xor r9d, r9d",
    "syscall",
    "mov r14, rax",
    "xor r13d, r13d",
    // A child for each call: fork.
    "2:",
    "mov dword ptr [r14 + r13 * 4], 0x7fffffff",
    "mov eax, 57",
    "syscall",
    "test rax, rax",
    "jz 4f",
    "js 8f",
    "inc r13d",
    "cmp r13d, 600",
    "jb 2b",
    // Until there is none left: wait4, for clones too.
    "3:",
    "mov eax, 61",
    "mov rdi, -1",
    "xor esi, esi",
    "mov edx, 0x40000000",
    "xor r10d, r10d",
    "syscall",
    "test rax, rax",
    "jns 3b",
    "mov eax, 1",
    "mov edi, 1",
    "mov rsi, r14",
    "mov edx, 2400",
    "syscall",
    "xor edi, edi",
    "jmp 9f",
    // The child: an end after two seconds (setitimer), registers of 0, the call.
    "4:",
    "push 0",
    "push 2",
    "push 0",
    "push 0",
    "mov eax, 38",
    "xor edi, edi",
    "mov rsi, rsp",
    "xor edx, edx",
    "syscall",
    "xor esi, esi",
    "xor r10d, r10d",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor ebp, ebp",
    "mov eax, r13d",
    "cmp r15d, 'c'",
    "je 6f",
    "cmp r15d, 'x'",
    "jne 5f",
    "or eax, 0x40000000",
    "5:",
    "syscall",
    "jmp 7f",
    "6:",
    "int 0x80",
    "7:",
    "mov dword ptr [r14 + r13 * 4], eax",
    "xor edi, edi",
    "jmp 9f",
    "8:",
    "mov edi, 1",
    "9:",
    "mov eax, 231",
    "syscall",
    "plywood_probe_end:",
    ".popsection",
);

unsafe extern "C" {
    static plywood_probe_start: u8;
    static plywood_probe_end: u8;
}

/// The program, as an executable file.
pub(crate) fn program() -> Vec<u8> {
    const ADDRESS: u64 = 0x40_0000;
    const HEADERS: u64 = 64 + 56;
    let (start, end) = (&raw const plywood_probe_start, &raw const plywood_probe_end);
    // SAFETY: both are the borders of the code above.
    let code = unsafe { std::slice::from_raw_parts(start, end.addr() - start.addr()) };
    let size = HEADERS + code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    // ET_EXEC for EM_X86_64, version 1.
    file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    for word in [ADDRESS + HEADERS, 64, 0] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend([0; 4]);
    // Sizes: this header, a program header; one of these; no sections.
    for half in [64_u16, 56, 1, 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
    for word in [0, ADDRESS, ADDRESS, size, size, 0x1000] {
        file.extend(u64::to_le_bytes(word));
    }
    file.extend_from_slice(code);
    file
}
