# What the recipes share.

# The search path of Debian's images.
search_path=PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The lowest layer of every image but busybox, byte for byte the same in all of them: the C library, a shell and the small
# tools (busybox in the place of dash and coreutils: a tenth of the size, and the same names).
debian_base() {
  layer "Debian's C library and busybox"
  assume awk debconf
  leave_out gcc-12-base gcc-14-base
  packages base-files libc6 libc-bin busybox-static
  # Character sets other than UTF-8, and what belongs to a machine rather than to an image.
  prune 'usr/lib/*/gconv' usr/share/{base-files,initramfs-tools,libc-bin} etc/{dpkg,update-motd.d} var/{run,lock,backups,lib/dpkg}
  applets /usr/bin
  account_files
  put /etc/nsswitch.conf <<<$'passwd: files\ngroup: files\nhosts: files dns'
  directory /root 0700
  directory /tmp 1777
  directory /run
  link ../run /var/run
  link ../run/lock /var/lock
}

# A link to busybox for each of its tools that no package brought, in the directory given.
applets() {
  local name
  for name in $("$root/usr/bin/busybox" --list); do
    [[ -e $root/usr/bin/$name || -e $root/usr/sbin/$name || $name == busybox ]] || link busybox "$1/$name"
  done
}

account_files() {
  put /etc/passwd <<<"${accounts%$'\n'}"
  put /etc/group <<<"${groups%$'\n'}"
}
