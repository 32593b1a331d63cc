// Lets the guest kernel of Linux 6.1 run on a processor with AMX. It keeps the first 2,696 bytes of a process's extended
// state, and hands those back; a host whose processor has more of it takes the whole or nothing, and the guest ends with
// "ptrace set fp regs failed". The rest belongs to AMX, which no process uses before it has asked for it: zeros.
//
// Built by tests/nfs/boot where it is needed, and loaded before the C library.

#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static char state[65536];
static size_t size;

static long set_state(pid_t pid, const struct iovec *kept) {
    if (size == 0) {
        struct iovec whole = {state, sizeof state};
        if (syscall(SYS_ptrace, PTRACE_GETREGSET, pid, NT_X86_XSTATE, &whole) < 0) return -1;
        size = whole.iov_len;
        memset(state, 0, sizeof state);
    }
    if (kept->iov_len >= size) return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, kept);
    memcpy(state, kept->iov_base, kept->iov_len);
    struct iovec whole = {state, size};
    return syscall(SYS_ptrace, PTRACE_SETREGSET, pid, NT_X86_XSTATE, &whole);
}

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (request == PTRACE_SETREGSET && (long)address == NT_X86_XSTATE) return set_state(pid, data);
    // The C library gives back what is read, where the system call writes it to an address.
    long word;
    int reads = request == PTRACE_PEEKTEXT || request == PTRACE_PEEKDATA || request == PTRACE_PEEKUSER;
    long result = syscall(SYS_ptrace, request, pid, address, reads ? &word : data);
    if (!reads || result < 0) return result;
    errno = 0;
    return word;
}
