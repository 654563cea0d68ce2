/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as JSON; what is read and written again is read as the same. Seeds: see fuzz_gguf.c.
 */
#include <stdio.h>

#include "folder_writer.h"
#include "format/json.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char values[] = "[{\"a\\u00e9\\ud83d\\ude00\\n\": [1, -2, 1.5e-3, 18446744073709551615, 1e30]}, "
				     "\"\\\"\\\\\\/\\b\", true, false, null, [], {}]";
	const char *folder = getenv("WEIR_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	folder_put(folder, "values.json", values, strlen(values));
	folder_put(folder, "config.json", folder_sample_config, strlen(folder_sample_config));
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weir_json once, twice;
	const char *text;

	if (weir_json_parse("fuzz.json", (const char *)data, size, &once))
		return 0;
	text = json_object_to_json_string_ext(once.value, JSON_C_TO_STRING_PLAIN);
	/* json-c writes null for no object. */
	if (weir_json_parse("fuzz.json", text, strlen(text), &twice) ||
		!json_object_equal(once.value, twice.value))
		abort();
	weir_json_close(&twice);
	weir_json_close(&once);
	return 0;
}
