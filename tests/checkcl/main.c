/* SPDX-License-Identifier: MIT */
/* The program checkcl: opens the device that its options name and runs the rows asked for. */
#include "checkcl.h"

#include <getopt.h>

#include "base/base.h"

static const char usage[] =
	"usage: checkcl [--device D] [--tier T] [--schedule S] [--provider P] [--threads N]\n"
	"               [--plan P] [--bench] [--quick] [--chain] [--seed N] [--without NAME]... [FILTER]\n"
	"Compares every kernel with its plain C reference; with --bench it also times them.\n"
	"FILTER is part of a row's name: all rows that have it run, but for those that have a NAME of --without.\n";

static const struct option options[] = {
	{"device", required_argument, NULL, 'd'},
	{"tier", required_argument, NULL, 't'},
	{"schedule", required_argument, NULL, 's'},
	{"provider", required_argument, NULL, 'p'},
	{"threads", required_argument, NULL, 'n'},
	{"plan", required_argument, NULL, 'l'},
	{"bench", no_argument, NULL, 'b'},
	{"quick", no_argument, NULL, 'q'},
	{"chain", no_argument, NULL, 'c'},
	{"without", required_argument, NULL, 'w'},
	{"seed", required_argument, NULL, 'e'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

#define WITHOUT_MAX 16
static const char *without[WITHOUT_MAX];
static unsigned n_without;

static bool parse_number(const char *option, const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 0);
	if (!errno && end != text && !*end && *text != '-' && *out <= max)
		return true;
	fprintf(stderr, "checkcl: --%s takes a number, not \"%s\"\n", option, text);
	return false;
}

static bool parse_provider(const char *text, enum weir_provider *out)
{
	for (int p = WEIR_PROVIDER_AUTO; p <= WEIR_PROVIDER_SHADOW; p++) {
		if (!strcmp(text, weir_provider_name((enum weir_provider)p))) {
			*out = (enum weir_provider)p;
			return true;
		}
	}
	fprintf(stderr, "checkcl: there is no provider \"%s\"\n", text);
	return false;
}

static bool parse_option(int option, struct checkcl *c, struct weir_device_settings *settings)
{
	uint64_t n;

	switch (option) {
	case 'd':
		settings->device = optarg;
		return true;
	case 't':
		settings->tier = optarg;
		return true;
	case 's':
		settings->schedule = optarg;
		return true;
	case 'p':
		return parse_provider(optarg, &settings->provider);
	case 'n':
		if (!parse_number("threads", optarg, 65536, &n))
			return false;
		settings->threads = (unsigned)n;
		return true;
	case 'l':
		settings->plan = optarg;
		return true;
	case 'b':
		return c->bench = true;
	case 'q':
		return c->quick = true;
	case 'c':
		return c->chain = true;
	case 'w':
		if (n_without == WITHOUT_MAX)
			return false;
		without[n_without++] = optarg;
		return true;
	case 'e':
		return parse_number("seed", optarg, UINT64_MAX, &c->seed);
	}
	return false;
}

static bool row_wanted(const char *name, const char *filter)
{
	for (unsigned i = 0; i < n_without; i++) {
		if (strstr(name, without[i]))
			return false;
	}
	return !filter || strstr(name, filter);
}

/* How many rows ran. */
static unsigned run_rows(struct checkcl *c, const struct checkcl_row *rows, const char *filter)
{
	unsigned count = 0;

	for (; rows->name; rows++) {
		unsigned checks = c->checks, failures = c->failures;

		if (!row_wanted(rows->name, filter))
			continue;
		rows->run(c);
		count++;
		printf("%-24s %6u checks, %u failed\n", rows->name, c->checks - checks,
			c->failures - failures);
		fflush(stdout);
	}
	return count;
}

int main(int argc, char **argv)
{
	static const struct checkcl_row *const families[] = {
		checkcl_matmul, checkcl_act, checkcl_attention, checkcl_calib, checkcl_cnn_conv, checkcl_cnn_act, checkcl_cnn_each,
		checkcl_cnn_move, checkcl_cnn_resize, checkcl_cnn_float};
	struct checkcl c = {.seed = 1};
	struct weir_device_settings settings;
	const char *filter;
	unsigned count = 0;
	int option;

	weir_device_settings_default(&settings);
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(usage, stdout);
			return 0;
		}
		if (!parse_option(option, &c, &settings)) {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (argc - optind > 1) {
		fputs(usage, stderr);
		return 2;
	}
	filter = argv[optind];

	if (weir_device_open(&c.dev, &settings)) {
		fprintf(stderr, "checkcl: %s\n", weir_error());
		return 1;
	}
	printf("%s, %s tier, %s schedule, %u threads, %s buffers\n", weir_device_name(c.dev),
		weir_device_tier(c.dev), weir_device_schedule(c.dev), weir_device_threads(c.dev),
		weir_device_provider_name(c.dev));
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(families); i++)
		count += run_rows(&c, families[i], filter);
	weir_device_close(c.dev);
	if (!count) {
		fprintf(stderr, "checkcl: no row's name has \"%s\"\n", filter);
		return 2;
	}
	printf("%u passed, %u failed\n", c.checks - c.failures, c.failures);
	return c.failures ? 1 : 0;
}
