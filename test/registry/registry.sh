#!/usr/bin/env bash
# Runs a real Schema Registry for the integration tests, without Docker: Apicurio Registry
# from Maven's repository, on Java 21 or later. It keeps its schemas in memory. Beside it
# is a Python with Confluent's serializers, from PyPI, for produce.py.
#
#   registry.sh start   start; prints the URL of the API that is compatible with
#                       Confluent's, or nothing where there is no such Java
#   registry.sh stop    stop it
#
# It listens on free ports of 127.0.0.1 only. Results go to standard output, everything
# else to standard error.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
app=$here/target/app
python=$here/target/python
data=$here/data
start_seconds=180 # until it must answer
stop_seconds=20  # until it is killed

usage() {
	sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
	exit 2
}

die() {
	echo "registry.sh: $*" >&2
	exit 1
}

# find_java prints the Java to use: JAVA21_HOME, JAVA_HOME, or one that is installed.
find_java() {
	local home version
	for home in "${JAVA21_HOME-}" "${JAVA_HOME-}" /usr/lib/jvm/*; do
		version=$(sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$home/release" 2>/dev/null) || continue
		if ((version >= 21)) && [[ -x $home/bin/java ]]; then
			echo "$home/bin/java"
			return
		fi
	done
	return 1
}

# resolve unpacks the registry and installs the serializers, if their lists are newer.
resolve() {
	if [[ ! $app.done -nt $here/pom.xml ]]; then
		echo "registry.sh: unpacking the registry with Maven" >&2
		rm -rf "$app"
		mvn -B -q -f "$here/pom.xml" dependency:unpack-dependencies -DoutputDirectory="$app" -DmarkersDirectory="$app/markers" >&2 || die "Maven cannot get the registry"
		touch "$app.done"
	fi
	if [[ ! $python.done -nt $here/requirements.txt ]]; then
		echo "registry.sh: installing the serializers with pip" >&2
		rm -rf "$python"
		python3 -m venv "$python" >&2 || die "Python cannot make a virtual environment (Debian's package python3-venv)"
		"$python/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt" >&2 || die "pip cannot install the serializers"
		touch "$python.done"
	fi
}

# pid prints the process ID of the running registry. It ignores a process that only reuses
# the ID.
pid() {
	local p
	[[ -f $data/pid ]] && p=$(<"$data/pid") && [[ -n $p ]] || return 1
	[[ -r /proc/$p/cmdline && $(tr '\0' ' ' <"/proc/$p/cmdline") == *"$app/"* ]] || return 1
	echo "$p"
}

start() {
	local java=$1 deadline=$((SECONDS + start_seconds)) address
	mkdir -p "$data"
	# In a session of its own, so that Ctrl-C in the tests does not reach it. The fast
	# compiler and the serial collector suit a short life beside the tests.
	setsid bash -c 'echo $$ >"$1/pid"; shift; exec "$@"' - "$data" "$java" \
		-Xmx384m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 \
		-Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port=0 \
		-Dquarkus.management.host=127.0.0.1 -Dquarkus.management.port=0 \
		-Dquarkus.http.access-log.enabled=false \
		-jar "$app/quarkus-run.jar" >"$data/registry.out" 2>&1 </dev/null &
	until address=$(grep -om1 'Listening on: http://[0-9.]*:[0-9]*' "$data/registry.out"); do
		((SECONDS < deadline)) || die "the registry does not answer after ${start_seconds}s, see $data/registry.out"
		sleep 0.3
		[[ ! -s $data/pid ]] || pid >/dev/null || die "the registry has ended: $(tail -n 5 "$data/registry.out")"
	done
	echo "${address#Listening on: }/apis/ccompat/v7"
}

stop() {
	local p deadline=$((SECONDS + stop_seconds))
	if p=$(pid); then kill "$p"; fi
	while p=$(pid); do
		if ((SECONDS >= deadline)); then kill -KILL "$p" 2>/dev/null || true; fi
		sleep 0.2
	done
	rm -f "$data/pid"
}

case ${1-} in
start)
	if ! java=$(find_java); then
		echo "registry.sh: skipped: no Java 21 or later (set JAVA21_HOME)" >&2
		exit 0
	fi
	resolve
	stop
	start "$java"
	;;
stop) stop ;;
*) usage ;;
esac
