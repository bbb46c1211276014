// The lab guest's /init: it writes memory (and a disk) at a given rate, and keeps checking all that it wrote.
//
// Rules of this file:
// - Contents follow from a counter. Write number c of a page (c = 1, 2, ...) sets its word c % 512 to value(page, c);
//   before the first write, word k holds what write number k - 512 would have set (k = 0: write 0). So the page and its
//   number of writes, kept apart in another part of memory, say what each of its 512 words must be. A lost write, or a
//   page that came from another moment, shows.
// - A sweep goes over every page; `bad` counts the pages that were not what they must be; the first ones are printed.
// - One line every half second: HB seq=4 t=2.01 writes=900 checked=5000 bad=0 sweeps=1 [disk_...]
//
// Options, on the kernel's command line (defaults in parentheses):
//   wss_mb (16) rate_mb (8)   memory that is written, MiB, and how many MiB of pages a second are written
//   pattern (uniform)         uniform; seq: one page after the other; hotcold: hot_w (90) percent of the writes go to
//                             hot_pct (10) percent of the pages; zipf: with exponent zipf_s / 100 (99)
//   write (word)              word: eight bytes of the page; page: all of it
//   ro_mb (0) zero_mb (0)     memory filled once and never written again; memory touched and left zero
//   cpu (0)                   1: never idle; the rate is then only what an undisturbed processor reaches
//   sweep_ms (1000)           time that one sweep is meant to take
//   disk (0) disk_mb (8) disk_rate (40)   1: write and check the first disk too: so much of it, and blocks a second
//   power (1)                 0: take no notice of the power button
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, SHOWN = 5 };
static const uint64_t DISK = 1ULL << 32; // page numbers of disk blocks begin here

static char line[4096]; // the kernel's command line

static const char *text(const char *name, const char *otherwise) {
  size_t n = strlen(name);
  for (char *p = line; (p = strstr(p, name)); p += n)
    if ((p == line || p[-1] == ' ') && p[n] == '=') {
      char *value = strndup(p + n + 1, strcspn(p + n + 1, " \n"));
      return value;
    }
  return otherwise;
}

static long number(const char *name, long otherwise) {
  const char *value = text(name, 0);
  return value ? atol(value) : otherwise;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, 0); }

static void stop(const char *why) { // no way to go on
  for (;; sleep_ms(1000)) printf("FAILED %s\n", why);
}

static inline uint64_t draw(uint64_t *state) { // xorshift64
  *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
  return *state;
}

// --- contents from counters

static inline uint64_t value(uint64_t page, int64_t c) { // what write number c of this page sets
  uint64_t x = (page + 1) * 0x9E3779B97F4A7C15ULL + (uint64_t)c * 0xD1B54A32D192ED03ULL;
  x = (x ^ x >> 32) * 0xBF58476D1CE4E5B9ULL;
  return x ^ x >> 29;
}

static inline int64_t last(int64_t count, int word) { // the write that set this word
  return count - ((count - word) & (WORDS - 1));
}

static void fill(uint64_t *at, uint64_t page, int64_t count) {
  for (int k = 0; k < WORDS; k++) at[k] = value(page, last(count, k));
}

static int differs(const char *what, const uint64_t *at, uint64_t page, int64_t count, int zero) {
  static int shown;
  for (int k = 0; k < WORDS; k++) {
    uint64_t want = zero ? 0 : value(page, last(count, k));
    if (at[k] == want) continue;
    if (__atomic_fetch_add(&shown, 1, __ATOMIC_RELAXED) < SHOWN)
      printf("BAD %s page=%lu word=%d writes=%ld want=%016lx got=%016lx\n", what, page & (DISK - 1), k, count, want,
             at[k]);
    return 1;
  }
  return 0;
}

// --- the disk: a thread of its own, so that a slow disk does not hold up the memory

static uint64_t disk_writes, disk_checked, disk_bad, disk_errors, disk_sweeps;
static int disk_on;

static void *disk_thread(void *unused) {
  int fd = -1;
  for (int i = 0; i < 100 && fd < 0; i++, sleep_ms(50))
    fd = open("/dev/vda", O_RDWR | O_DIRECT | O_CLOEXEC);
  uint64_t size = 0, state = 0x2545F4914F6CDD1DULL, *block = aligned_alloc(PAGE, PAGE);
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) || size < PAGE) stop("no disk");
  uint64_t blocks = (uint64_t)number("disk_mb", 8) << 8, next = 0;
  if (blocks > size / PAGE) blocks = size / PAGE;
  int64_t *count = calloc(blocks, sizeof *count);
  for (uint64_t i = 0; i < blocks; i++) {
    fill(block, DISK + i, 0);
    while (pwrite(fd, block, PAGE, i * PAGE) != PAGE) disk_errors++, sleep_ms(200);
  }
  printf("DISK READY blocks=%lu\n", blocks);
  disk_on = 1;
  long rate = number("disk_rate", 40);
  for (;;) {
    uint64_t i = draw(&state) % blocks;
    fill(block, DISK + i, count[i] + WORDS);
    // A block whose write failed is written again until it is known to be there: its contents are never in doubt.
    while (pwrite(fd, block, PAGE, i * PAGE) != PAGE) disk_errors++, sleep_ms(200);
    count[i] += WORDS, disk_writes++;
    for (int k = 0; k < 9; k++) {
      i = k ? next : i; // the one just written, then eight on the way through all
      if (pread(fd, block, PAGE, i * PAGE) != PAGE) disk_errors++;
      else disk_bad += differs("disk", block, DISK + i, count[i], 0), disk_checked++;
      if (k && ++next == blocks) next = 0, disk_sweeps++;
    }
    sleep_ms(1000 / (rate < 1 ? 1 : rate));
  }
  return unused;
}

// --- start, the power button

static void load_modules(void) {
  for (int i = 0; i < 100; i++) {
    char path[32];
    snprintf(path, sizeof path, "/modules/%02d.ko", i);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (syscall(SYS_finit_module, fd, "", 0)) printf("module %d was not loaded: %m\n", i);
    close(fd);
  }
}

static int keys[8], n_keys;

static void open_keys(void) {
  for (int i = 0; i < 8; i++) {
    char path[32];
    snprintf(path, sizeof path, "/dev/input/event%d", i);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) keys[n_keys++] = fd;
  }
}

static void look_at_keys(void) {
  struct input_event event;
  for (int i = 0; i < n_keys; i++)
    while (read(keys[i], &event, sizeof event) == sizeof event)
      if (event.type == EV_KEY && event.code == KEY_POWER && event.value == 1) {
        printf("POWER button\n");
        if (!number("power", 1)) continue;
        sync(), reboot(RB_POWER_OFF);
      }
}

static uint64_t *grab(uint64_t pages) {
  void *at = mmap(0, pages * PAGE + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) stop("not enough memory");
  return at;
}

static void spin(uint64_t n) {
  for (volatile uint64_t i = 0; i < n; i++) {}
}

// --- which page is next

enum { UNIFORM, SEQ, HOTCOLD, ZIPF };
static int kind;
static uint32_t *scattered, *cumulated; // page at a rank; share of the writes up to a rank, of 2^32
static uint64_t n_written, n_hot, hot_share;

static void plan(void) {
  const char *names[] = {"uniform", "seq", "hotcold", "zipf"}, *asked = text("pattern", "uniform");
  for (kind = 0; kind < 4 && strcmp(asked, names[kind]); kind++) {}
  if (kind == 4) stop("no such pattern");
  uint64_t state = 88172645463325252ULL, n = n_written;
  scattered = malloc(4 * n + 4);
  for (uint64_t i = 0; i < n; i++) scattered[i] = i;
  if (kind == HOTCOLD || kind == ZIPF) // hot pages are not neighbours
    for (uint64_t i = n; i > 1; i--) {
      uint64_t j = draw(&state) % i;
      uint32_t t = scattered[i - 1];
      scattered[i - 1] = scattered[j], scattered[j] = t;
    }
  n_hot = n * number("hot_pct", 10) / 100, hot_share = (uint64_t)number("hot_w", 90) * (1ULL << 32) / 100;
  if (!n_hot) n_hot = 1;
  if (kind != ZIPF) return;
  cumulated = malloc(4 * n + 4);
  double sum = 0, part = 0, s = number("zipf_s", 99) / 100.0;
  for (uint64_t i = 1; i <= n; i++) sum += pow(i, -s);
  for (uint64_t i = 1; i <= n; i++) part += pow(i, -s), cumulated[i - 1] = part / sum * 4294967295.0;
}

static inline uint64_t next_page(void) {
  static uint64_t state = 0x9E3779B97F4A7C15ULL, step;
  uint64_t x = draw(&state), low = 0, high = n_written - 1;
  switch (kind) {
  case SEQ: return step++ % n_written;
  case HOTCOLD:
    if (x >> 32 < hot_share || n_hot >= n_written) return scattered[draw(&state) % n_hot];
    return scattered[n_hot + draw(&state) % (n_written - n_hot)];
  case ZIPF:
    while (low < high) {
      uint64_t mid = (low + high) / 2;
      if (cumulated[mid] < x >> 32) low = mid + 1;
      else high = mid;
    }
    return scattered[low];
  default: return (x >> 20) % n_written;
  }
}

int main(void) {
  mkdir("/proc", 0755), mkdir("/dev", 0755);
  mount("proc", "/proc", "proc", 0, 0), mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
  int fd = open("/dev/console", O_RDWR);
  for (int i = 0; i < 3 && fd >= 0; i++) dup2(fd, i);
  setvbuf(stdout, 0, _IOLBF, 0);
  fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read(fd, line, sizeof line - 1) < 0) stop("no command line");
  load_modules();

  double began = now();
  n_written = (uint64_t)number("wss_mb", 16) << 8;
  uint64_t n_kept = (uint64_t)number("ro_mb", 0) << 8, n_zero = (uint64_t)number("zero_mb", 0) << 8;
  uint64_t n_all = n_written + n_kept + n_zero;
  struct sysinfo info;
  if (sysinfo(&info) || n_all * PAGE + n_written * 16 + (6 << 20) > info.freeram) stop("not enough memory");
  uint64_t *memory = grab(n_all);
  int64_t *count = (int64_t *)grab(n_written * sizeof *count / PAGE + 1);
  for (uint64_t i = 0; i < n_written + n_kept; i++) fill(memory + i * WORDS, i, 0);
  for (uint64_t i = n_written + n_kept; i < n_all; i++) ((volatile uint64_t *)memory)[i * WORDS] = 0; // there, and zero
  plan();

  int whole_pages = !strcmp(text("write", "word"), "page"), busy = number("cpu", 0), has_disk = number("disk", 0);
  double rate = number("rate_mb", 8) * 256.0, sweep_s = number("sweep_ms", 1000) / 1000.0;
  uint64_t loops = 0;
  if (busy && rate > 0) { // so much work beside each write that the rate is the most that this processor does
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
      double t = now();
      spin(1000000);
      if (now() - t < best) best = now() - t;
    }
    loops = 1000000 / best / rate;
  }
  pthread_t thread;
  if (has_disk && pthread_create(&thread, 0, disk_thread, 0)) stop("no thread");
  while (has_disk && !disk_on) sleep_ms(20);
  open_keys();
  printf("READY pages=%lu written=%lu fill_s=%.2f keys=%d\n", n_all, n_written, now() - began, n_keys);

  uint64_t writes = 0, checked = 0, bad = 0, sweeps = 0, seq = 0, at = 0;
  double start = now(), before = start, beat = start, owed = 0;
  for (;;) {
    double t = now(), passed = t - before > 0.1 ? 0.1 : t - before; // after a stall: no burst
    before = t;
    owed = busy ? rate * 0.004 + 1 : owed + rate * passed;
    for (; n_written && rate > 0 && owed >= 1; owed--, writes++) {
      uint64_t i = next_page(), *page = memory + i * WORDS;
      if (whole_pages) count[i] += WORDS, fill(page, i, count[i]);
      else count[i]++, page[count[i] & (WORDS - 1)] = value(i, count[i]);
      if (loops) spin(loops);
    }
    double until = now() + 0.004; // a sweep never holds up the writes for long
    for (double left = n_all / sweep_s * passed + 1; left >= 1 && n_all && now() < until; left--) {
      int64_t writes_of = at < n_written ? count[at] : 0;
      bad += differs("memory", memory + at * WORDS, at, writes_of, at >= n_written + n_kept), checked++;
      if (++at < n_all) continue;
      int64_t sum = 0; // the counters themselves
      for (uint64_t i = 0; i < n_written; i++) sum += count[i];
      if (sum != (int64_t)writes * (whole_pages ? WORDS : 1))
        bad++, printf("BAD counters sum=%ld writes=%lu\n", sum, writes);
      at = 0, sweeps++;
    }
    look_at_keys();
    if (t >= beat) {
      printf("HB seq=%lu t=%.2f writes=%lu checked=%lu bad=%lu sweeps=%lu", ++seq, t, writes, checked, bad, sweeps);
      if (has_disk)
        printf(" disk_writes=%lu disk_checked=%lu disk_bad=%lu disk_sweeps=%lu disk_errors=%lu", disk_writes,
               disk_checked, disk_bad, disk_sweeps, disk_errors);
      printf("\n");
      beat = t > beat + 0.5 ? t + 0.5 : beat + 0.5;
    }
    if (!busy) sleep_ms(4);
  }
}
