# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034,SC2154 # the scripts use what is set here, and set $results
# What the scripts of tests/bench share: settings, model files, one run of a program, and the file of results.
#
# Settings, by the environment:
#   LLAMA         llama.cpp's llama-bench: a path or a command, also with words before it ("chroot DIR llama-bench");
#                 none: it is left out. Default: llama-bench, where it is found
#   LLAMA_RUN     its llama-completion, for the time to the first token. Default: the same command with this end
#   LLAMA_MODELS  the folder of the models as that command sees it, where that is elsewhere
#   BENCH_MODELS  the folder of the models, which are made when they are missing (2 GB at most).
#                 Default: $XDG_CACHE_HOME/weir-bench, else ~/.cache/weir-bench
#   WEIR          the program. Default: BUILD/weir
#   THREADS       of both programs. Default: one for each CPU
#   ROUNDS        how often everything is measured. Default 3
#   ONLY          a regular expression: of "WHAT MODEL TYPE" only what it finds is measured; WHAT is decode, prefill, both,
#                 decode-4096, decode-busy, start, cold, own or kernels
#   KEEP          1: what is measured is added to the results that are there; with ONLY, to measure in parts
#   PAUSE         seconds before each process: ggml's threads wait by spinning, and are felt a while. Default 1
#
# Results are lines of words in $results:
#   value WHAT MODEL TYPE PROGRAM NUMBER    PROGRAM: weir or llama; tokens a second, seconds or KiB
#   bytes MODEL TYPE NUMBER                 that Weir's weights take in memory
#   spare MODEL TYPE NUMBER                 of these, that a token does not read
#   position MODEL TYPE NUMBER              bytes of K and V that a token reads for each position before it
#   cache MODEL TYPE NUMBER                 bytes of Weir's cache when the start is timed
#   limit bandwidth NUMBER                  GB a second

self=${0##*/}
here=$(cd "${0%/*}" && pwd)
version=1 # of the files that mkmodel makes: another number, and they are made anew

die() {
	echo "tests/bench/$self: $*" >&2
	exit 1
}

say() {
	echo "bench: $*" >&2
}

# ---- settings ----

set_up() {
	build=$1
	weir=${WEIR:-$build/weir}
	tools=$build/tests/bench
	models=${BENCH_MODELS:-${XDG_CACHE_HOME:-${HOME:?is not set}/.cache}/weir-bench}
	models=${models%/}
	threads=${THREADS:-$(nproc)}
	rounds=${ROUNDS:-3}
	pause=${PAUSE:-1}
	failures=0
	[ -x "$weir" ] || die "there is no program $weir: make builds it"
	[ -x "$tools/mkmodel" ] || die "there is no $tools/mkmodel: make bench builds it"
	mkdir -p "$models" "$build/bench" || die "cannot make the folders $models and $build/bench"
	work=$(mktemp -d) || exit 1
	trap clean_up EXIT
	trap 'exit 1' HUP INT TERM
	find_llama
}

# results_in FILE: begins the results anew, or goes on with them.
results_in() {
	results=$1
	[ -n "${KEEP:-}" ] || : >"$results" || exit 1
	touch "$results"
}

clean_up() {
	be_quiet
	rm -rf "$work"
}

find_llama() {
	local command=${LLAMA:-llama-bench}

	llama=()
	llama_run=()
	llama_version=
	if [ "$command" = none ]; then
		return
	fi
	read -ra llama <<<"$command"
	if ! llama_version=$("${llama[@]}" --version 2>&1 | sed -n 's/^version: //p') || [ -z "$llama_version" ]; then
		[ -z "${LLAMA:-}" ] || die "\"$LLAMA --version\" says no version: is it llama-bench?"
		say "there is no llama-bench (LLAMA=PATH says where): Weir alone is measured"
		llama=()
		return
	fi
	read -ra llama_run <<<"${LLAMA_RUN:-${command%llama-bench}llama-completion}"
	"${llama_run[@]}" --version >/dev/null 2>&1 || llama_run=()
}

# ---- model files ----

# model_file MODEL TYPE: makes the file if it is missing; sets $file and, for llama.cpp, $llama_file.
model_file() {
	local name=$1-$2-$version.gguf

	file=$models/$name
	llama_file=${LLAMA_MODELS:-$models}/$name
	if [ ! -f "$file" ]; then
		say "making $name"
		make_model "$@" >"$work/make" 2>&1 || die "cannot make $file: $(tail -n 1 "$work/make")"
	fi
	grep -q "^spare $1 $2 " "$results" || "$tools/mkmodel" facts "$file" |
		awk -v of="$1 $2" '{print "spare", of, $1; print "position", of, $2}' >>"$results"
}

make_model() {
	case $1 in
	random-1.1B) "$tools/mkmodel" random 22,2048,5632,32,4,32000 "$2" "$file" ;;
	random-0.6B) "$tools/mkmodel" random 22,1536,4096,24,4,32000 "$2" "$file" ;;
	random-0.3B) "$tools/mkmodel" random 24,1024,2816,16,4,32000 "$2" "$file" ;;
	random-tiny) "$tools/mkmodel" random 2,256,768,8,2,512 "$2" "$file" ;;
	SmolLM2-135M)
		default_model || return
		case $2 in
		W[234]) "$weir" quantize --method rtn --bits "${2#W}" --group 128 "$default" "$file" ;;
		W8A8) "$weir" quantize --method rtn --bits 8 --group channel --w8a8 "$default" "$file" ;;
		*) "$tools/mkmodel" from "$default" "$2" "$file" ;;
		esac
		;;
	*) echo "no model $1" && return 1 ;;
	esac
}

default_model() {
	default=${XDG_DATA_HOME:-$HOME/.local/share}/weir/SmolLM2-135M-Instruct.Q4_1.gguf
	[ -f "$default" ] || { echo "there is no $default: make fetch gets it" && return 1; }
}

# ---- one run ----

# failed WORDS...: says so; what it was is missing from the table.
failed() {
	say "failed: $* $(tail -n 1 "$work/err")"
	failures=$((failures + 1))
}

# What JSON says of tests, Weir's or llama-bench's: PROMPT GENERATED DEPTH TOKENS_A_SECOND
tests_of() {
	tr ',' '\n' | awk '
		{sub(/^ *[{[]* */, "")}
		$1 ~ /^"(n_)?prompt":$/ {prompt = $2}
		$1 ~ /^"(generated|n_gen)":$/ {gen = $2}
		$1 ~ /^"(n_)?depth":$/ {depth = $2}
		$1 ~ /^"(tokens_per_second|avg_ts)":$/ {print prompt + 0, gen + 0, depth + 0, $2}'
}

# bench PROGRAM ARGUMENTS...: of the model that model_file has found.
bench() {
	local program=$1
	shift
	case $program in
	weir) "$weir" bench -m "$file" --threads "$threads" --json "$@" ;;
	llama) "${llama[@]}" -m "$llama_file" -t "$threads" -o jsonl "$@" ;;
	esac
}

# Programs in the order of a round: who was first is last in the next.
in_round() {
	if [ "${#llama[@]}" -eq 0 ]; then
		echo weir
	elif [ $(($1 % 2)) -eq 0 ]; then
		echo llama weir
	else
		echo weir llama
	fi
}

# measure PROGRAM MODEL TYPE SUFFIX ARGUMENTS...: a process; its tests are decode, prefill, prefill-2048, decode-4096...
measure() {
	local program=$1 model=$2 type=$3 suffix=$4
	shift 4
	sleep "$pause"
	bench "$program" "$@" >"$work/out" 2>"$work/err" || { failed "$program" "$model" "$type" "$*:" && return; }
	tests_of <"$work/out" | awk -v model="$model" -v type="$type" -v program="$program" -v suffix="$suffix" '{
		what = $2 ? "decode" : $1 == 512 ? "prefill" : "prefill-" $1
		print "value", what ($3 ? "-" $3 : "") suffix, model, type, program, $4 }' >"$work/values"
	[ -s "$work/values" ] || failed "$program" "$model" "$type" "$*:" "no speed in what it printed."
	cat "$work/values" >>"$results"
	[ "$program" = llama ] || grep -q "^bytes $model $type " "$results" ||
		sed -n "s/.*\"weight_bytes\": \([0-9]*\).*/bytes $model $type \1/p" "$work/out" >>"$results"
}

# How fast memory is read, for shares of it.
bandwidth() {
	local gb
	sleep "$pause"
	gb=$("$tools/bandwidth" "$threads") && echo "limit bandwidth $gb" >>"$results"
}

# ---- neighbours ----

neighbours=()

# A process that spins for each CPU, until this one is gone at the latest; its last word is this run's folder.
be_busy() {
	local i
	for ((i = 0; i < $(nproc); i++)); do
		bash -c 'while kill -0 $PPID; do for ((i = 0; i < 100000; i++)); do :; done; done' "$work" 2>/dev/null &
		neighbours+=($!)
	done
}

be_quiet() {
	[ "${#neighbours[@]}" -eq 0 ] || kill "${neighbours[@]}" 2>/dev/null
	neighbours=()
	wait
}

# ---- comparisons ----

smol=SmolLM2-135M

# wanted WHAT [MODEL TYPE]: whether $ONLY takes it; then its file is there.
wanted() {
	[[ "$*" =~ ${ONLY:-.} ]] && { [ $# -eq 1 ] || model_file "$2" "$3"; }
}

# compare WHAT MODEL TYPE ARGUMENTS...: all rounds of both programs, which take the same arguments. WHAT-busy: beside neighbours.
compare() {
	local what=$1 model=$2 type=$3 suffix='' r program
	shift 3
	wanted "$what" "$model" "$type" || return
	say "$what $model $type $*"
	[ "${what%-busy}" = "$what" ] || suffix=-busy
	for ((r = 1; r <= rounds; r++)); do
		for program in $(in_round "$r"); do
			[ -z "$suffix" ] || be_busy
			measure "$program" "$model" "$type" "$suffix" "$@"
			be_quiet
		done
		# What no cache holds has memory as its limit: that takes turns too.
		[ "$model" != random-1.1B ] || bandwidth
	done
}

# ---- the machine ----

# One sentence: what it was measured on.
machine() {
	local cpu memory pocl
	cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
	memory=$(awk '/^MemTotal:/ {printf "%.0f GiB", $2 / 1048576}' /proc/meminfo)
	pocl=$("$weir" info 2>/dev/null | sed -n 's/^ *driver *//p' | head -n 1)
	[ -n "$cpu" ] || cpu=$(uname -m)
	printf '%s, %s CPUs, %s of memory, %s; OpenCL driver %s' "$cpu" "$(nproc)" "$memory" \
		"$(. /etc/os-release 2>/dev/null && echo "${PRETTY_NAME:-Linux}")" "${pocl:-unknown}"
	[ -z "$llama_version" ] || printf '; llama.cpp %s' "$llama_version"
	printf '; %s threads, medians of up to %s rounds, %s.\n' "$threads" "$rounds" "$(date +%Y-%m-%d)"
}
