// SPDX-License-Identifier: MIT OR GPL-2.0-or-later
/*
 * PTP hardware clocks for a guest that has no card with one: one crystal, which can be read in the
 * three ways that drivers offer. So everything but the crystal is the kernel's own: the character
 * devices, their ioctls, clock_gettime() and clock_settime() of their descriptors, and what becomes
 * of them when the driver goes.
 *
 * The crystal counts on CLOCK_MONOTONIC_RAW, which nobody steers, at a rate of its own.
 */
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/ptp_clock_kernel.h>
#include <linux/spinlock.h>
#include <linux/timecounter.h>
#include <linux/timekeeping.h>

/* A nanosecond in the crystal's units: steps of 0.06 ppm, and 18 minutes between two readings. */
#define SHIFT 24
#define ONE (1U << SHIFT)
#define MAX_ADJUST_PPB 500000

static int ahead_s;
module_param(ahead_s, int, 0444);
MODULE_PARM_DESC(ahead_s, "seconds that the crystal starts ahead of the system clock");

static int fail;
module_param(fail, int, 0644);
MODULE_PARM_DESC(fail, "errno of every reading; 0: none fails");

static int cross_fail;
module_param(cross_fail, int, 0644);
MODULE_PARM_DESC(cross_fail, "errno of readings of both clocks at once; 0: none fails");

static uint lag_us;
module_param(lag_us, uint, 0644);
MODULE_PARM_DESC(lag_us, "microseconds from the first system stamp of a reading to the crystal's");

/* How often each way was taken, for those who want to know which one a program chose. */
static ulong precise_readings;
module_param(precise_readings, ulong, 0444);
static ulong extended_readings;
module_param(extended_readings, ulong, 0444);
static ulong plain_readings;
module_param(plain_readings, ulong, 0444);

static DEFINE_SPINLOCK(lock);

static u64 crystal_cycles(const struct cyclecounter *counter)
{
	return ktime_get_raw_ns();
}

static struct cyclecounter crystal = {
	.read = crystal_cycles,
	.mask = CYCLECOUNTER_MASK(64),
	.mult = ONE,
	.shift = SHIFT,
};
static struct timecounter timer;

static u64 now(void)
{
	unsigned long flags;
	u64 nanos;

	spin_lock_irqsave(&lock, flags);
	nanos = timecounter_read(&timer);
	spin_unlock_irqrestore(&lock, flags);
	return nanos;
}

/* Both clocks at one moment. */
static u64 now_with(struct system_time_snapshot *system)
{
	unsigned long flags;
	u64 nanos;

	spin_lock_irqsave(&lock, flags);
	ktime_get_snapshot(system);
	nanos = timecounter_cyc2time(&timer, ktime_to_ns(system->raw));
	spin_unlock_irqrestore(&lock, flags);
	return nanos;
}

static int get_between(struct ptp_clock_info *info, struct timespec64 *time,
		       struct ptp_system_timestamp *system)
{
	/* The core's plain ioctl asks in this way too, but takes the system's time itself. */
	if (system)
		extended_readings++;
	else
		plain_readings++;
	if (fail)
		return -fail;
	ptp_read_system_prets(system);
	/* As late as can be: half of the time that the reading takes is then its error. */
	if (lag_us)
		usleep_range(lag_us, lag_us + 1);
	*time = ns_to_timespec64(now());
	ptp_read_system_postts(system);
	return 0;
}

static int get_plain(struct ptp_clock_info *info, struct timespec64 *time)
{
	return get_between(info, time, NULL);
}

static int get_precise(struct ptp_clock_info *info, struct system_device_crosststamp *stamp)
{
	struct system_time_snapshot system;

	precise_readings++;
	if (fail || cross_fail)
		return -(fail ? fail : cross_fail);
	stamp->device = ns_to_ktime(now_with(&system));
	stamp->sys_realtime = system.real;
	stamp->sys_monoraw = system.raw;
	return 0;
}

static int set_time(struct ptp_clock_info *info, const struct timespec64 *time)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	timecounter_init(&timer, &crystal, timespec64_to_ns(time));
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int adjust_time(struct ptp_clock_info *info, s64 nanos)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	timecounter_adjtime(&timer, nanos);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

static int adjust_rate(struct ptp_clock_info *info, long scaled_ppm)
{
	unsigned long flags;

	spin_lock_irqsave(&lock, flags);
	/* What has passed until now has passed at the rate until now. */
	timecounter_read(&timer);
	crystal.mult = ONE + (s32)div64_s64((s64)ONE * scaled_ppm, 65536 * 1000000LL);
	spin_unlock_irqrestore(&lock, flags);
	return 0;
}

/* The pulse needs no switch, and there is nothing else to enable. */
static int enable(struct ptp_clock_info *info, struct ptp_clock_request *request, int on)
{
	return request->type == PTP_CLK_REQ_PPS ? 0 : -EOPNOTSUPP;
}

static long pulse(struct ptp_clock_info *info);

#define CLOCK(way)                            \
	.owner = THIS_MODULE,                 \
	.name = "timeball " way,              \
	.max_adj = MAX_ADJUST_PPB,            \
	.enable = enable,                     \
	.settime64 = set_time,                \
	.adjtime = adjust_time,               \
	.adjfine = adjust_rate

static struct ptp_clock_info clocks[] = {
	{ CLOCK("precise"), .gettimex64 = get_between, .getcrosststamp = get_precise, .pps = 1,
	  .do_aux_work = pulse },
	{ CLOCK("extended"), .gettimex64 = get_between },
	{ CLOCK("plain"), .gettime64 = get_plain },
};
static struct ptp_clock *registered[ARRAY_SIZE(clocks)];

/* A pulse per second, stamped with the moment at which the crystal's second was full: a card's
 * interrupt comes late too, but by less than this worker. */
static long pulse(struct ptp_clock_info *info)
{
	struct ptp_clock_event event = { .type = PTP_CLOCK_PPSUSR };
	struct system_time_snapshot system;
	u32 late;

	div_u64_rem(now_with(&system), NSEC_PER_SEC, &late);
	/* It was set meanwhile, where this is not the beginning of a second. */
	if (late < NSEC_PER_SEC / 2) {
		event.pps_times.ts_real = ktime_to_timespec64(ktime_sub_ns(system.real, late));
		ptp_clock_event(registered[0], &event);
	}
	return nsecs_to_jiffies(NSEC_PER_SEC - late) + 1;
}

static void unregister_clocks(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(clocks) && registered[i]; i++)
		ptp_clock_unregister(registered[i]);
}

static int __init start(void)
{
	size_t i;

	timecounter_init(&timer, &crystal, ktime_get_real_ns() + ahead_s * NSEC_PER_SEC);
	for (i = 0; i < ARRAY_SIZE(clocks); i++) {
		struct ptp_clock *clock = ptp_clock_register(&clocks[i], NULL);

		if (IS_ERR_OR_NULL(clock)) {
			unregister_clocks();
			return clock ? PTR_ERR(clock) : -ENODEV;
		}
		registered[i] = clock;
	}
	ptp_schedule_worker(registered[0], 0);
	return 0;
}

static void __exit stop(void)
{
	unregister_clocks();
}

module_init(start);
module_exit(stop);
MODULE_DESCRIPTION("PTP clocks of a guest in Timeball's tests");
MODULE_LICENSE("Dual MIT/GPL");
