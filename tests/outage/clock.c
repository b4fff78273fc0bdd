/* Preloaded, it makes the time of day wrong by as many seconds as the file says that KEYROLL_TEST_CLOCK names, which may change
   at any time. The clock that only goes forward is left alone. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static long seconds_off(void)
{
    char text[32] = {0};
    const char *path = getenv("KEYROLL_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return 0;
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    return length > 0 ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*of_system)(clockid_t, struct timespec *);
    if (!of_system)
        of_system = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = of_system(clock, time);
    if (result == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += seconds_off();
    return result;
}
