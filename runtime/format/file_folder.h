/* SPDX-License-Identifier: MIT */
/* A Hugging Face folder as weir_file_* lists it: what its files say, whether Weir runs it or not. */
#ifndef WEIR_FORMAT_FILE_FOLDER_H
#define WEIR_FORMAT_FILE_FOLDER_H

#include "format/json.h"
#include "format/safetensors.h"
#include "weir/llm.h"

struct weir_folder_key {
	char name[128]; /* "quantization_config.bits", cut where it is longer */
	struct json_object *value;
};

struct weir_folder {
	char *path, *config_path;
	struct weir_json config; /* config.json */
	struct weir_folder_key *keys; /* its values that are no objects */
	size_t n_keys;
	struct weir_safetensors *tensors;
};

int weir_folder_list(const char *path, struct weir_folder **out);
void weir_folder_unlist(struct weir_folder *f); /* takes NULL */
/* As weir_file_meta. */
int weir_folder_meta(const struct weir_folder *f, size_t i, char *key, size_t key_size, const char **type, char *value,
	size_t value_size);

#endif
