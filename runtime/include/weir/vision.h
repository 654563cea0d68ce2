/* SPDX-License-Identifier: MIT */
/*
 * Networks for pictures: TFLite files with int8 or float32 operators, planned into little memory and run on a device.
 *
 *     weir_net_load(&net, dev, "mcunet.tflite", NULL);
 *     weir_net_input(net, 0, &t);                        what it takes: type, shape, scale
 *     weir_net_input_begin(net, 0, &p); ... weir_net_input_end(net, 0);
 *     weir_net_run(net);
 *     weir_net_output_read(net, 0, bytes, size);
 *
 * A network belongs to one thread at a time. Results are those of TFLite's reference kernels, bit for bit, but for float
 * operators that need exp (LOGISTIC, SOFTMAX), which are a few units in the last place off.
 */
#ifndef WEIR_VISION_H
#define WEIR_VISION_H

#include <weir/weir.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct weir_net weir_net;

/* How a run is submitted. */
enum weir_net_mode {
	WEIR_NET_AUTO,	/* as measured while running, where the device can do both */
	WEIR_NET_CHAIN, /* a launch a step */
	WEIR_NET_WHOLE, /* one launch that goes through all steps: CPU devices alone */
};

#define WEIR_NET_LEAST UINT64_MAX

struct weir_net_settings {
	size_t size;		/* of this struct */
	uint64_t memory_budget; /* bytes of activations and scratch: layers are streamed by strips of rows to keep to it.
				   0: no limit; WEIR_NET_LEAST: as few as can be found */
	bool in_place;		/* outputs over inputs that are read no more: residual adds, activations; true */
	bool overlay;		/* outputs of depthwise convolutions and pools over their inputs; true */
	bool fold;		/* leave out PADs before convolutions, and a float input's QUANTIZE (the input is then
				   the int8 tensor, see weir_net_input_write); true */
	enum weir_net_mode mode;
};
void weir_net_settings_default(struct weir_net_settings *settings);

/*
 * 0 and a network, the caller's to destroy before the device is closed; settings NULL: the defaults. -EOPNOTSUPP names
 * operator, index and tensor of what Weir does not run; -ENOSPC says how little memory would do. The file is read at load
 * alone.
 */
int weir_net_load(weir_net **out, weir_device *dev, const char *path, const struct weir_net_settings *settings);
void weir_net_destroy(weir_net *net); /* takes NULL */

struct weir_net_tensor {
	char name[64];
	const char *type; /* "int8", "float32" */
	unsigned n_dims;
	int32_t dim[6];
	uint64_t bytes;
	float scale; /* value = (q - zero) * scale; 0 when it is not quantized */
	int32_t zero;
	bool folded; /* an int8 input that the file has as float32 */
};
unsigned weir_net_inputs(const weir_net *net);
unsigned weir_net_outputs(const weir_net *net);
/* -ERANGE past the last. */
int weir_net_input(const weir_net *net, unsigned i, struct weir_net_tensor *out);
int weir_net_output(const weir_net *net, unsigned i, struct weir_net_tensor *out);

/*
 * An input's memory, where the device reads it: nothing is copied on devices that share memory with the CPU. Every byte is
 * to be written between begin and end: a run may overlay it.
 */
int weir_net_input_begin(weir_net *net, unsigned i, void **bytes);
int weir_net_input_end(weir_net *net, unsigned i);
/* Copies in: bytes as described; or, for an input that was folded, also the file's floats, quantized as QUANTIZE does. */
int weir_net_input_write(weir_net *net, unsigned i, const void *data, size_t size);

/*
 * Input i (or output i) in a buffer of the caller's from offset on, a multiple of 16 bytes: what another process or
 * driver put there (weir_buffer_from_fd) is read with no copy. Runs do not change an input's bytes. NULL: back in the
 * network's own memory. The buffer must be of the same device and outlive the network or the next bind. At most 4 are bound at a time.
 */
int weir_net_input_bind(weir_net *net, unsigned i, weir_buffer *buffer, size_t offset);
int weir_net_output_bind(weir_net *net, unsigned i, weir_buffer *buffer, size_t offset);

/* Runs the network and waits. Inputs are to be written before every run. */
int weir_net_run(weir_net *net);
/* Copies an output of the last run; size is its bytes. */
int weir_net_output_read(weir_net *net, unsigned i, void *data, size_t size);

struct weir_net_info {
	char description[128];
	uint64_t file_bytes, weight_bytes; /* weights, tables and multipliers as kernels read them */
	uint64_t macs;			   /* multiply-adds of a run */
	uint64_t activation_bytes;	   /* activations and scratch together: the arena */
	uint64_t unshared_bytes;	   /* what it would be if no two tensors shared memory */
	unsigned operators, steps;	   /* of the file; launches of a run in CHAIN mode */
	bool whole;			   /* the last run was one launch */
	unsigned streamed;		   /* chains of layers that are streamed */
};
void weir_net_info(const weir_net *net, struct weir_net_info *out);

/* The memory map: tensor i of those that share the arena. Streamed ones keep ring of their rows. -ERANGE past the last. */
struct weir_net_block {
	char name[64];	 /* of the tensor */
	char op[32];	 /* what makes it, or "input" */
	uint64_t at, bytes;
	unsigned first, last; /* steps, both inclusive, that its memory is taken in */
	unsigned rows, ring;
};
int weir_net_block(const weir_net *net, unsigned i, struct weir_net_block *out);

/* ---- pictures --------------------------------------------------------------------------------- */

/* Decoded pixels: height rows of width * channels bytes, channels 1 (grey) or 3 (RGB). */
struct weir_picture {
	unsigned width, height, channels;
	unsigned char *pixels; /* malloced */
};

/*
 * Reads PNG (any kind; alpha is blended over black), JPEG (baseline and progressive; CMYK is refused) or BMP
 * (uncompressed, 8, 24 or 32 bits), turned as it is stored: Exif's orientation is not looked at. channels 1 or 3
 * converts; 0 leaves grey grey. At most 2^28 pixels. 0, or -errno with a sentence that names the path: -EMEDIUMTYPE for
 * files of other formats.
 */
int weir_picture_read(const char *path, unsigned channels, struct weir_picture *out);
/* The same from memory; name stands for the path. */
int weir_picture_decode(const void *data, size_t size, const char *name, unsigned channels,
	struct weir_picture *out);
void weir_picture_free(struct weir_picture *p);

/*
 * Cuts out the middle and resizes it with a triangle filter that is widened when it shrinks (what PIL calls antialiased
 * bilinear). The middle has the target's aspect ratio and the part `crop`, in (0, 1], of the sides of the largest such
 * rectangle. out is width * height * channels bytes.
 */
int weir_picture_resize(const struct weir_picture *p, double crop, unsigned width, unsigned height, unsigned char *out);

struct weir_picture_scaling {
	size_t size;
	float mean[3], scale[3]; /* of each channel: real value = (pixel - mean) / scale. Default: the real range that the
				    input's type can hold is spread over 0..255 */
	float crop;		 /* see weir_picture_resize; 0, the default: 224 / 256, with which networks for ImageNet
				    are measured; but all of a picture that has the input's size */
	bool raw;		 /* pixel bytes go in as they are: int8 networks get the same bits */
};
/* Scaling for an input: what fits its scale and zero point best, among [0, 1], [-1, 1] and bytes. */
void weir_picture_scaling_default(const struct weir_net_tensor *input, struct weir_picture_scaling *out);

/* Resizes, scales and quantizes a picture into an input of shape [1, height, width, 1 or 3]. */
int weir_net_input_picture(weir_net *net, unsigned i, const struct weir_picture *p,
	const struct weir_picture_scaling *scaling);

#ifdef __cplusplus
}
#endif
#endif
