/* Loaded before the C library: files below $DISK_DIR live on a disk that does what the file $DISK_RULE says.
 *
 *   enospc      every write fails, as on a full disk
 *   torn N      a write takes N bytes, and the next one fails as on a full disk
 *   eio         every write and fsync fails
 *   slow MS     every fsync takes so long
 *
 * Anything else, or no such file: a healthy disk. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

enum kind { HEALTHY, ENOSPC_, TORN, EIO_, SLOW };
struct rule { enum kind kind; long number; };

static __thread int tore;

/* Whether fd is a file below $DISK_DIR. */
static int ours(int fd) {
    const char *dir = getenv("DISK_DIR");
    char link[64], path[4096];
    if (!dir) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    size_t wanted = strlen(dir);
    return length > (ssize_t)wanted && !strncmp(path, dir, wanted) && path[wanted] == '/';
}

static struct rule now(void) {
    struct rule rule = { HEALTHY, 0 };
    char text[64] = "", word[16] = "";
    const char *path = getenv("DISK_RULE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return rule;
    ssize_t length = read(fd, text, sizeof text - 1);
    close(fd);
    if (length <= 0 || sscanf(text, "%15s %ld", word, &rule.number) < 1) return rule;
    if (!strcmp(word, "enospc")) rule.kind = ENOSPC_;
    if (!strcmp(word, "torn")) rule.kind = TORN;
    if (!strcmp(word, "eio")) rule.kind = EIO_;
    if (!strcmp(word, "slow")) rule.kind = SLOW;
    return rule;
}

/* How many of these bytes are taken; -1 with errno: none. */
static ssize_t taken(int fd, size_t count) {
    if (!ours(fd)) return (ssize_t)count;
    struct rule rule = now();
    switch (rule.kind) {
    case ENOSPC_: errno = ENOSPC; return -1;
    case EIO_: errno = EIO; return -1;
    case TORN:
        if (tore) { tore = 0; errno = ENOSPC; return -1; }
        tore = 1;
        return (size_t)rule.number < count ? rule.number : (ssize_t)count;
    default: return (ssize_t)count;
    }
}

ssize_t write(int fd, const void *bytes, size_t count) {
    REAL(write);
    ssize_t most = taken(fd, count);
    return most < 0 ? -1 : real(fd, bytes, (size_t)most);
}

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(writev);
    return taken(fd, 1) < 0 ? -1 : real(fd, pieces, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    REAL(pwrite64);
    ssize_t most = taken(fd, count);
    return most < 0 ? -1 : real(fd, bytes, (size_t)most, at);
}

/* Whether an fsync of fd fails; it may take its time. */
static int fails(int fd) {
    if (!ours(fd)) return 0;
    struct rule rule = now();
    if (rule.kind == EIO_) { errno = EIO; return 1; }
    if (rule.kind == SLOW) {
        struct timespec pause = { rule.number / 1000, rule.number % 1000 * 1000000 };
        while (nanosleep(&pause, &pause) && errno == EINTR) {}
    }
    return 0;
}

int fsync(int fd) {
    REAL(fsync);
    return fails(fd) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync);
    return fails(fd) ? -1 : real(fd);
}
