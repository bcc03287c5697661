#!/usr/bin/env bash
# Builds a container image and hands it to the cluster, which then runs it under TAG with imagePullPolicy IfNotPresent.
#   image.sh build TAG CONTEXT [DOCKERFILE]
#   image.sh base                             the stand-in for python:3.11-slim, made of Debian packages
#   image.sh pause                            the image that holds a pod's namespaces
# PROVIDER and KUBE_CONTEXT, as provider.sh prints them, say for which cluster; without them for the compiled one.
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
. "$HERE/process.sh"

BASE=localhost/python:3.11-slim
KEPT_TAGS=4 KEPT_LAYERS=200
STORE=(buildah --root "$CLUSTER_DIR/buildah/root" --runroot "$CLUSTER_DIR/buildah/run" --storage-driver overlay)
store() { "${STORE[@]}" "$@"; }
# What `RUN --mount=type=cache` keeps lies under it.
export TMPDIR=$CLUSTER_DIR/buildah/tmp
mkdir -p "$TMPDIR"

# The image's content goes to the running containerd through a pipe, unless it has this very content under this name.
hand_over() { # STORED TAG
  local id mark=$DATA/containerd/imported-${2//[\/:]/_}
  if ! alive containerd; then say "no node runs; build $2 again after cluster/up.sh to hand it over"; return 0; fi
  id=$(store inspect --type image --format '{{.FromImageID}}' "$1")
  [ "$(cat "$mark" 2>/dev/null)" != "$id" ] || return 0
  store push -q "$1" "docker-archive:/dev/stdout:$2" | ctrd images import - >/dev/null || die "containerd did not take $2"
  printf '%s\n' "$id" >"$mark"
}

# Every change of a file that goes into an image leaves a whole set of layers behind, here and in containerd.
forget_old() { # TAG just built
  local old
  store images --format '{{.Name}}:{{.Tag}}' --filter "reference=localhost/${1%:*}" | tail -n +$((KEPT_TAGS + 1)) | while read -r old; do
    store rmi "$old" >/dev/null || true
    ! alive containerd || ctrd images rm "$old" "docker.io/${old#localhost/}" >/dev/null 2>&1 || true
    rm -f "$DATA/containerd/imported-$(tr '/:' __ <<<"${old#localhost/}")"
  done
  [ "$(store images -aq | wc -l)" -lt "$KEPT_LAYERS" ] || store rmi --prune >/dev/null
}

make_base() {
  ! store inspect --type image "$BASE" >/dev/null 2>&1 || return 0
  need_tools debootstrap=debootstrap
  local container root mirror name
  say "making $BASE from Debian packages"
  container=$(store from scratch)
  # shellcheck disable=SC2064
  trap "store rm '$container' >/dev/null" EXIT
  # Written into the mounted file system: `buildah add` would give every file to root and drop the setuid bits.
  root=$(store mount "$container")
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 2>/dev/null | awk '$2 == "bookworm" && !found { print $1; found = 1 }')
  "$HERE/progress.sh" "debootstrap" "$LOGS/debootstrap.log" debootstrap --variant=minbase \
    --include=ca-certificates,python3,python3-venv,python3-pip bookworm "$root" ${mirror:+"$mirror"} \
    || die "debootstrap failed; see $LOGS/debootstrap.log"
  # The official image has its interpreter in /usr/local/bin and lets pip install for all.
  rm -rf "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/{cache/apt,lib/apt/lists}/* "$root"/usr/share/{doc,man,locale}/*
  for name in python python3; do ln -sf /usr/bin/python3 "$root/usr/local/bin/$name"; done
  store umount "$container" >/dev/null
  store config --env PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 --cmd python3 "$container"
  store commit -q --rm "$container" "$BASE" >/dev/null
  trap - EXIT
  say "$BASE made after $SECONDS s"
}

make_pause() {
  local container
  if ! store inspect --type image "$PAUSE_IMAGE" >/dev/null 2>&1; then
    lock images
    container=$(store from scratch)
    store copy -q "$container" "$BIN/pause" /pause >/dev/null
    store config --entrypoint '["/pause"]' --user 65535:65535 "$container"
    store commit -q --rm "$container" "$PAUSE_IMAGE" >/dev/null
  fi
  hand_over "$PAUSE_IMAGE" "$PAUSE_IMAGE"
}

build_with_docker() { # TAG CONTEXT DOCKERFILE
  timeout 10 docker info >/dev/null 2>&1 \
    || die "Docker does not answer, and images for a cluster that is not the compiled one are built by it; start Docker"
  docker build -q -t "$1" -f "$3" "$2" >/dev/null || die "docker could not build $1 from $3"
  case ${KUBE_CONTEXT:-} in
    kind-*) kind load docker-image --name "${KUBE_CONTEXT#kind-}" "$1" ;;
    *) say "$1 is built; push it to where the cluster $KUBE_CONTEXT pulls from, if it does not share this Docker" ;;
  esac
}

build_with_buildah() { # TAG CONTEXT DOCKERFILE
  need_tools buildah=buildah /etc/ssl/certs/ca-certificates.crt=ca-certificates
  lock images
  # Working containers of builds that were interrupted.
  store rm -a >/dev/null 2>&1 || true
  make_base
  # A short name is looked for under localhost/ first, so `FROM python:3.11-slim` finds the stand-in. chroot isolation takes
  # no namespaces, and the host's network and certificates let pip reach what the host reaches.
  "$HERE/progress.sh" "building $1" "$LOGS/image.log" "${STORE[@]}" build --isolation chroot --network host --pull-never --layers \
    --volume /etc/ssl/certs:/etc/ssl/certs:ro -t "localhost/$1" -f "$3" "$2" \
    || { tail -20 "$LOGS/image.log" >&2; die "building $1 from $3 failed"; }
  hand_over "localhost/$1" "$1"
  forget_old "$1"
}

build() { # TAG CONTEXT [DOCKERFILE]
  local file=${3:-$2/Dockerfile}
  [ -f "$file" ] || die "there is no $file"
  if [ "${PROVIDER:-compiled}" = compiled ]; then build_with_buildah "$1" "$2" "$file"; else build_with_docker "$1" "$2" "$file"; fi
  say "image $1 ready after $SECONDS s"
}

case "${1:-} $#" in
  "build 3" | "build 4") build "${@:2}" ;;
  "base 1") need_tools buildah=buildah; lock images; make_base ;;
  "pause 1") make_pause ;;
  *) usage "image.sh build TAG CONTEXT [DOCKERFILE] | base | pause" ;;
esac
