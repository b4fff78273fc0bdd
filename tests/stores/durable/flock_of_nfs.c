/* flock() as Linux's NFS clients have it, to be put before the system's (LD_PRELOAD): they turn it into a lock of bytes, for which
 * an exclusive lock needs a descriptor that is open for writing and a shared one a descriptor that is open for reading. flock(2),
 * "NFS details". Directories have no such locks; there it stays the system's. */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int flock(int fd, int operation)
{
    struct stat about;
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;

    if (fstat(fd, &about) == 0 && S_ISREG(about.st_mode) &&
        (((operation & LOCK_EX) && mode == O_RDONLY) || ((operation & LOCK_SH) && mode == O_WRONLY))) {
        errno = EBADF;
        return -1;
    }
    return (int)syscall(SYS_flock, fd, operation);
}
