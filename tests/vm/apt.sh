# SPDX-License-Identifier: MIT
# What fetches and unpacks Debian's packages below the cache folder, with an apt of its own: nothing is installed.
# Sourced after common.sh.

for tool in apt-get apt-cache dpkg flock xz; do
	command -v "$tool" >/dev/null 2>&1 || skip "there is no $tool: virtual machines are prepared on Debian only"
done
[ "$(dpkg --print-architecture)" = amd64 ] || skip "virtual machines are prepared on amd64 only"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || skip "$keyring is missing: install debian-archive-keyring"

# Each script has its own place for unfinished work, and one run of it at a time.
work=$cache/work-$self
mkdir -p "$cache" || skip "cannot make $cache"
exec 9>"$cache/lock-$self"
flock -n 9 || {
	echo "$self: waits for another run of it that prepares $cache"
	flock 9
}
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# need_disk MB
need_disk() {
	want=$1
	have=$(df -Pk "$cache" | awk 'NR == 2 { print int($4 / 1024) }')
	[ "$have" -ge "$want" ] || skip "$cache has $have MB left, $want MB are needed"
}

# The mirror that the system itself uses, and how it gets there.
system_mirror() {
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's|^\(https\{0,1\}://.*/debian\)/\{0,1\}$|\1|p' | head -n 1)
	[ -n "$uri" ] || uri=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
		grep -v '^ *#' | grep -o 'https\{0,1\}://[^ ]*/debian/\{0,1\}\( \|$\)' | head -n 1 | sed 's|/\{0,1\} *$||')
	printf '%s\n' "${uri:-$default_mirror}"
}
default_mirror=http://deb.debian.org/debian

# apt_world RELEASE ARCH: an apt of its own for that release and architecture, in $apt.
apt_world() {
	apt=$work/apt-$1-$2
	export APT_CONFIG="$apt/apt.conf"
	[ ! -d "$apt" ] || return 0
	for mirror in "$(unset APT_CONFIG; system_mirror)" "$default_mirror"; do
		rm -rf "$apt"
		mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/none"
		: >"$apt/status"
		for part in "$1" "$1-backports"; do
			case $part in bookworm-backports | testing-backports) continue ;; esac
			echo "deb [arch=$2 signed-by=$keyring] $mirror $part main"
		done >"$apt/sources.list"
		# Proxies are the system's, and how old a list may be; its hooks are not ours to run.
		{
			APT_CONFIG= apt-config dump 2>/dev/null | grep -iE '^Acquire::(https?::|Check-)'
			cat <<-EOF
			APT::Architecture "$2";
			APT::Architectures { "$2"; };
			APT::Sandbox::User "";
			APT::Get::Assume-Yes "true";
			Acquire::Languages "none";
			Acquire::Retries "2";
			Acquire::http::Timeout "30";
			Dir::State "$apt";
			Dir::State::status "$apt/status";
			Dir::Cache "$apt/cache";
			Dir::Etc::sourcelist "$apt/sources.list";
			Dir::Etc::sourceparts "$apt/none";
			Dir::Etc::main "$apt/none.conf";
			Dir::Etc::parts "$apt/none";
			Dir::Etc::preferences "$apt/none.pref";
			Dir::Etc::preferencesparts "$apt/none";
			EOF
		} >"$apt/apt.conf"
		echo "$self: asks $mirror for $1, $2"
		apt-get -q -o APT::Update::Error-Mode=any update >"$apt/log" 2>&1 && return 0
	done
	tail -n 3 "$apt/log" >&2
	rm -rf "$apt"
	skip "no package list of $1 for $2 could be fetched: is there a network?"
}

# unpack FOLDER: every package that lies in the current apt's folder.
unpack() {
	mkdir -p "$1"
	# base-files makes /lib and /bin links where the release has merged them; others then follow these.
	for deb in "$apt"/cache/archives/base-files_*.deb "$apt"/cache/archives/*.deb; do
		[ -f "$deb" ] || continue
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1" --no-same-owner --keep-directory-symlink \
			--exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' ||
			skip "cannot unpack ${deb##*/}: is the disk full?"
		case $deb in */base-files_*) rm -f "$deb" ;; esac
	done
	rm -f "$apt"/cache/archives/*.deb
}

# closure SUITE PACKAGE...: fetches packages and all that they depend on.
closure() {
	from=$1
	shift
	apt-get -q --no-install-recommends --download-only -t "$from" install "$@" >"$work/log" 2>&1 || {
		tail -n 5 "$work/log" >&2
		skip "cannot fetch $*"
	}
}

# fetch PACKAGE...: those alone.
fetch() {
	(cd "$apt/cache/archives" && apt-get -q download "$@") >"$work/log" 2>&1 || {
		tail -n 5 "$work/log" >&2
		skip "cannot fetch $*"
	}
}

depends_of() {
	apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | tr ',|' '\n\n' | sed 's/^ *//; s/[ (].*//'
}

# finish ITEM: what lies in $work/ITEM becomes the item, at once.
finish() {
	echo "$cache" >"$work/$1/.ready"
	rm -rf "${cache:?}/$1"
	mkdir -p "$(dirname "$cache/$1")"
	mv "$work/$1" "$cache/$1" || fail "cannot move $1 into $cache"
	echo "$self: $1 ready, $(du -sm "$cache/$1" | cut -f 1) MB"
}

