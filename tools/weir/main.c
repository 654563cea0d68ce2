/* SPDX-License-Identifier: MIT */
/* The program weir: its subcommands, their help, and how it begins and ends. */
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tool.h"

static const struct command commands[] = {
	{"run", CMD_RUN, "", "complete a prompt",
		"Prints the text that follows the prompt, which comes from -p, -f or standard "
		"input.\n"
		"With -m the prompt is completed as it is; with --chat, or without -m (the "
		"default\n"
		"model follows instructions), it is put as a user's turn in the model's chat "
		"format.\n"
		"Ctrl-C stops the text.\n",
		"  weir run -p \"What is a kernel module?\"\n"
		"  weir run -m model.gguf -p \"Once upon a time\" -n 100 --temp 0\n"
		"  weir run -f question.txt --json > answer.json\n"
		"  weir run -m model.gguf -f book.txt -n 0 --save book.session\n"
		"  weir run -m model.gguf --load book.session -p \" The next chapter\"\n",
		0, cmd_run},
	{"chat", CMD_CHAT, "", "talk with a model",
		"Reads a turn a line and prints the answers; a line that ends in \\ goes on with "
		"the\n"
		"next one. /help lists what else can be typed. Ctrl-C stops an answer, Ctrl-D "
		"ends.\n",
		"  weir chat\n"
		"  weir chat --system \"Answer in one sentence.\" --temp 0.2\n"
		"  weir chat -m model.gguf --window 1020 --kv q8\n",
		0, cmd_chat},
	{"bench", CMD_BENCH, "", "measure speed",
		"Times reading a prompt (pp) and generating (tg) with random tokens, after a "
		"warm-up,\n"
		"and prints the mean and the standard deviation over the repetitions. Of a network in "
		"a\n"
		"TFLite file, times runs on random inputs and prints the median and the shortest.\n",
		"  weir bench\n"
		"  weir bench -m model.gguf -p 128,512 -n 64 -r 3\n"
		"  weir bench -p 0 -n 32 --depth 0,1024,2048 --json\n"
		"  weir bench -m network.tflite --memory-budget 128K\n",
		0, cmd_bench},
	{"eval", CMD_EVAL, "--text FILE [MODEL]...",
		"measure perplexity, and what quantized models lose",
		"Cuts the text's tokens into windows of --ctx (2048, or what the model was trained "
		"for\n"
		"if that is less) that do not overlap, as AWQ does, and prints the perplexity over "
		"the\n"
		"predictions inside each; of several models a table, a row each. --kl names a "
		"reference,\n"
		"which is the first row: all models read the same tokens beside it, in memory "
		"together,\n"
		"and the table adds, over all predictions, the mean of the Kullback-Leibler "
		"divergence\n"
		"from the reference in nats with its standard error, its 99th percentile and "
		"maximum, how\n"
		"often the likeliest token is the reference's (top-1), and the mean change of the\n"
		"probability of the text's own token (dp). --streaming reads the text as one "
		"stream, a\n"
		"token at a time, and prints the perplexity of every 1000 tokens.\n",
		"  weir eval --text wiki.test.raw\n"
		"  weir eval --text wiki.test.raw --ctx 512 --windows 10 --kv q8\n"
		"  weir eval --text wiki.test.raw --kl f16.gguf q4.gguf awq.gguf\n"
		"  weir eval --text book.txt --streaming --sinks 4 --window 1020\n",
		SIZE_MAX, cmd_eval},
	{"quantize", CMD_QUANTIZE, "IN OUT", "make a model of fewer bits",
		"Quantizes the matrices of the layers of IN, a GGUF file or a Hugging Face folder; "
		"embeddings,\n"
		"head and norms stay as they are. Where OUT ends in .gguf a GGUF file is written, "
		"which\n"
		"other programs load too; else a folder as AutoAWQ writes them (4 bits).\n"
		"awq and smoothquant need a calibration text, --calib. Its tokens are cut into "
		"blocks of\n"
		"--length; of the N blocks there are, --samples are used: number i is block\n"
		"floor(i * N / samples). A shorter text gives fewer of them.\n"
		"Work goes layer by layer. What is finished lies in OUT.partial: after Ctrl-C, or a "
		"crash,\n"
		"the same command goes on from there and ends with the same bytes.\n",
		"  weir quantize --method rtn model-f16.gguf model-q4.gguf\n"
		"  weir quantize --calib text.txt model-f16.gguf model-awq.gguf\n"
		"  weir quantize --bits 3 --duo --calib text.txt hf-folder/ awq-3bit.gguf\n"
		"  weir quantize --calib text.txt --json hf-folder/ awq-folder > report.json\n"
		"  weir quantize --method smoothquant --alpha auto --calib text.txt in.gguf w8a8.gguf\n",
		2, cmd_quantize},
	{"tokenize", CMD_TOKENIZE, "[TEXT]", "turn text into tokens and back",
		"Prints the ids of a text's tokens, from TEXT, -f or standard input; with "
		"--decode,\n"
		"prints the text of ids. Only a model's vocabulary is read.\n",
		"  weir tokenize \"Hello world\"\n"
		"  weir tokenize -m vocab.gguf --pieces -f text.txt\n"
		"  weir tokenize --decode \"15339 1917\"\n",
		1, cmd_tokenize},
	{"classify", CMD_CLASSIFY, "PICTURE...", "say what is on pictures",
		"Runs a network from a TFLite file on PNG, JPEG and BMP files: on each one's centre, "
		"cut\n"
		"to the shape of the network's input and resized. Folders stand for the pictures in "
		"them,\n"
		"and - for the paths on standard input, one a line. Prints a line a picture: its "
		"path, then\n"
		"number, label and score of the likeliest classes. Scores are what the network's "
		"first\n"
		"output says; where that is no probabilities (values outside 0 to 1, or that do not "
		"add up\n"
		"to 1), softmax makes them. --json prints an object a line. A picture that cannot be "
		"read is\n"
		"reported, the others go on, and the exit status is 1.\n"
		"With --raw, a file that is no picture holds the bytes of the network's input, or of "
		"several\n"
		"inputs one behind the other: PATH[0], PATH[1] and so on. Where an int8 input was "
		"float32\n"
		"in the TFLite file, the floats of one input will do, too.\n",
		"  weir classify -m mcunet.tflite --labels imagenet.txt photos/\n"
		"  weir classify -m mcunet.tflite --top 1 --json cat.png dog.jpg\n"
		"  find . -name '*.jpg' | weir classify -m mcunet.tflite -\n"
		"  weir classify -m person_detect.tflite --raw --dump scores.bin person.bmp\n"
		"  weir classify -m vww.tflite --memory-budget 92K --mean 128 --scale 128 me.png\n",
		SIZE_MAX, cmd_classify},
	{"info", CMD_INFO, "[FILE]", "show devices, or what is in a model file",
		"Without FILE, shows each device with what it runs on: the tier of its dot "
		"products,\n"
		"the schedule, and where buffers can come from. With FILE, shows the file's "
		"metadata\n"
		"and tensors; of a TFLite file also what a run takes, and the map of its memory:\n"
		"tensors against time.\n",
		"  weir info\n"
		"  weir info model.gguf\n"
		"  weir info model.gguf --json\n"
		"  weir info network.tflite --memory-budget min --svg map.svg\n",
		1, cmd_info},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static int print_help(void)
{
	printf("Usage: weir COMMAND [OPTION]...\n\n"
	       "Runs quantized language models from GGUF files and Hugging Face folders, and networks\n"
	       "for pictures from TFLite files, with OpenCL; quantizes models.\n\nCommands:\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].summary);
	printf("\nExamples:\n"
	       "  weir run -p \"What is a kernel module?\"\n"
	       "  weir chat\n"
	       "  weir bench -m model.gguf\n"
	       "  weir quantize --calib text.txt model.gguf smaller.gguf\n"
	       "  weir classify -m network.tflite photos/\n\n"
	       "`weir COMMAND --help` shows a command's options. Results go to standard output,\n"
	       "everything else to standard error. The exit status is 0, 1 when something failed,\n"
	       "or 2 when the command line is wrong.\n");
	return 0;
}

static int print_command_help(const struct command *c)
{
	printf("Usage: weir %s [OPTION]...%s%s\n\n%s\nOptions:\n", c->name, *c->usage ? " " : "",
		c->usage, c->details);
	options_help(c);
	printf("\nExamples:\n%s", c->examples);
	return 0;
}

static int print_version(void)
{
	printf("weir %s\n", weir_version());
	return 0;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	}
	return NULL;
}

static int run_command(int argc, char **argv)
{
	const struct command *c = find_command(argv[0]);
	struct options o;
	int status;

	if (!c)
		return usage(NULL, "there is no command \"%s\"", argv[0]);
	status = options_parse(c, argc, argv, &o);
	if (status)
		return status;
	if (o.help)
		return print_command_help(c);
	return o.version ? print_version() : c->run(&o);
}

static int run_weir(int argc, char **argv)
{
	const char *first = argc > 1 ? argv[1] : NULL;

	if (!first)
		return usage(NULL, "there is no command");
	if (!strcmp(first, "--help") || !strcmp(first, "-h"))
		return print_help();
	if (!strcmp(first, "--version") || !strcmp(first, "-V"))
		return print_version();
	if (!strcmp(first, "help")) {
		char *help[] = {argc > 2 ? argv[2] : argv[1], (char *)"--help", NULL};

		return argc > 2 ? run_command(2, help) : print_help();
	}
	if (first[0] == '-')
		return usage(NULL, "a command comes first, then options such as %s", first);
	return run_command(argc - 1, argv + 1);
}

/*
 * A stream that is closed from the start would give its number to the next file that is opened,
 * and output would go there. What takes its place fails each read or write, as a closed one does.
 */
static void keep_standard_streams(void)
{
	for (int fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0)
			_exit(1);
	}
}

int main(int argc, char **argv)
{
	int status;

	keep_standard_streams();
	setlocale(LC_CTYPE, "");
	if (MB_CUR_MAX == 1)
		setlocale(LC_CTYPE, "C.UTF-8"); /* what is typed is UTF-8 all the same */
	status = run_weir(argc, argv);
	progress_end();
	if (out_close() && !status)
		status = 1;
	if (interrupted()) {
		/* So that a shell's loop around it stops too. */
		signal(SIGINT, SIG_DFL);
		raise(SIGINT);
	}
	return status;
}
