/* The real clock of a function's process, moved by as many seconds as the file says that MOVED_CLOCK names. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *moved;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("MOVED_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *moved, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) moved = mapped;
  close(file);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  int failed = (int)syscall(SYS_clock_gettime, clock, time);
  if (!failed && clock == CLOCK_REALTIME && moved) time->tv_sec += *moved;
  return failed;
}
