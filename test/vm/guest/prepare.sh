# What a machine that was made elsewhere needs beside what it came with: the
# certificates and archives of the machine that runs it, and packages.
# shellcheck shell=bash

cloud-init status --wait >/dev/null 2>&1 || true
read -ra packages </payload/packages
. /etc/os-release
if command -v apt-get >/dev/null; then
  cp /payload/apt.conf /etc/apt/apt.conf.d/99host
  if [ -d /payload/auth.conf.d ]; then cp -a /payload/auth.conf.d/. /etc/apt/auth.conf.d/; fi
  if [ "$ID" = debian ]; then
    rm -f /etc/apt/sources.list.d/*
    sed "s/SUITE/$VERSION_CODENAME/" /payload/sources.list >/etc/apt/sources.list
  fi
  trust() { install -D -m 644 /payload/ca.crt /etc/ssl/certs/ca-certificates.crt; }
  install_packages() { apt-get update -q -o APT::Update::Error-Mode=any && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends nftables "${packages[@]}"; }
elif command -v dnf >/dev/null; then
  trust() { cp /payload/ca.crt /etc/pki/ca-trust/source/anchors/host.crt && update-ca-trust; }
  install_packages() {
    local names=" ${packages[*]} "
    names=${names/ debian-archive-keyring / debian-keyring }
    names=${names/ busybox-static / busybox }
    names=${names/ iproute2 / iproute }
    names=${names/ procps / procps-ng }
    names=${names/ python3-venv / }
    # shellcheck disable=SC2086
    dnf install -y -q nftables $names
  }
else
  check "a package manager that is known" false
  give_up
fi
check "the certificates" trust
check "the packages" install_packages || give_up
