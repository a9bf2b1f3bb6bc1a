// A list of what is shut off, not of what is allowed: the libraries below us call what they like,
// and differently with each version. The list has every way to open, change or run a file, to reach
// another process or machine, and the calls that would get around it (io_uring, another ABI).
#include "tools/nibble/sandbox.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace nibble::cli {
namespace {

#if defined(NIBBLE_SANITIZED)

constexpr bool kPossible = false;
constexpr unsigned kArchitecture = 0;

#elif defined(__x86_64__)

constexpr bool kPossible = true;
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;

#elif defined(__aarch64__)

constexpr bool kPossible = true;
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;

#else

constexpr bool kPossible = false;
constexpr unsigned kArchitecture = 0;

#endif

constexpr unsigned kShut[] = {
    // the network
    SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen, SYS_accept, SYS_accept4,
    // programs and other processes
    SYS_execve, SYS_execveat, SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev,
    SYS_pidfd_open, SYS_pidfd_getfd,
    // files, other than by opening them
    SYS_renameat, SYS_renameat2, SYS_unlinkat, SYS_linkat, SYS_symlinkat, SYS_mkdirat, SYS_mknodat,
    SYS_fchmodat, SYS_fchmod, SYS_fchownat, SYS_fchown, SYS_truncate, SYS_utimensat, SYS_setxattr,
    SYS_lsetxattr, SYS_fsetxattr, SYS_open_by_handle_at, SYS_openat2,
#if defined(SYS_rename)
    SYS_rename, SYS_unlink, SYS_rmdir, SYS_link, SYS_symlink, SYS_mkdir, SYS_mknod, SYS_chmod,
    SYS_chown, SYS_lchown, SYS_creat,
#endif
    // the system
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, SYS_bpf,
    SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup, SYS_keyctl, SYS_add_key,
    SYS_request_key, SYS_init_module, SYS_finit_module, SYS_kexec_load};

sock_filter load(size_t at) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(at));
}

// Goes on with the next instruction if what was loaded is `value`, else `skip` behind it.
sock_filter unless_skip(unsigned value, unsigned char skip) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip);
}

const sock_filter kRefuse = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
const sock_filter kAllow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

// A call with the flags of open() in argument `index`.
void add_open(unsigned call, size_t index, Sandbox level, std::vector<sock_filter>* program) {
  if (level == Sandbox::kClosed) {
    program->insert(program->end(), {unless_skip(call, 1), kRefuse});
    return;
  }
  constexpr unsigned kWriting = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;
  program->insert(program->end(),
                  {unless_skip(call, 4), load(offsetof(seccomp_data, args) + index * 8),
                   BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, kWriting, 0, 1), kRefuse, kAllow});
}

std::vector<sock_filter> filter(Sandbox level) {
  std::vector<sock_filter> program = {load(offsetof(seccomp_data, arch)),
                                      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArchitecture, 1, 0),
                                      kRefuse, load(offsetof(seccomp_data, nr))};
#if defined(__x86_64__)  // x32: the same calls by other numbers
  program.insert(program.end(), {BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), kRefuse});
#endif
  for (const unsigned call : kShut) {
    program.insert(program.end(), {unless_skip(call, 1), kRefuse});
  }
  add_open(SYS_openat, 2, level, &program);
#if defined(SYS_open)
  add_open(SYS_open, 1, level, &program);
#endif
  program.push_back(kAllow);
  return program;
}

}  // namespace

bool enter_sandbox(Sandbox level) {
  if (!kPossible) return false;
  std::vector<sock_filter> program = filter(level);
  const sock_fprog all = {static_cast<unsigned short>(program.size()), program.data()};
  // SPEC_ALLOW: older kernels would else slow the whole process down.
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                 SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &all) == 0;
}

}  // namespace nibble::cli
