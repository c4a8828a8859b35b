# A virtual machine with Debian's own kernel, whose programs are this machine's; to be sourced.
# shellcheck shell=bash
#
# The machine's / comes by 9p, read-only, under a layer in the guest's memory; /lab is shared both ways. Processors are emulated: programs
# are some ten times slower. Where DISKALLOC_QEMU_CACHE=DIR keeps the kernel (70 MB to download once); without it there is no machine.
#
#   machine_prepare                 or says why there is none, and exits with 77; sets WORK and CACHE
#   machine_bring FILE…             programs, and libraries of ours that they need, come to /lab
#   machine_run SECONDS MEMORY-MIB SIZE… <<END    the disks /dev/vda, …, of these sizes; the guest's script is read from stdin. Its exit
#                                                 status is that of the last command

machine_skip() { echo "skipped: $*"; exit 77; }
machine_die() { echo "${0##*/}: $*" >&2; exit 1; }

machine_fetch_kernel() {
    local package
    package=$(apt-cache depends linux-image-amd64 2> /dev/null | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -1)
    (cd "$WORK" && apt-get -qq -o APT::Sandbox::User=root download "$package") > /dev/null 2>&1 || machine_skip "no kernel to be had"
    if ! dpkg-deb -x "$WORK/$package"_*.deb "$WORK/unpacked" || ! depmod -b "$WORK/unpacked" "${package#linux-image-}" ||
        ! mv "$WORK/unpacked" "$CACHE/$package"; then
        machine_die "cannot unpack the kernel"
    fi
}

machine_prepare() {
    [ -n "${DISKALLOC_QEMU_CACHE:-}" ] || machine_skip "set DISKALLOC_QEMU_CACHE to a directory for a kernel"
    for tool in qemu-system-x86_64 cpio depmod modprobe busybox dmsetup mkfs.ext4 mkfs.xfs dpkg-deb; do
        command -v "$tool" > /dev/null || machine_skip "$tool is not installed"
    done
    [ "$(id -u)" = 0 ] || machine_skip "needs root"
    ldd "$(command -v busybox)" > /dev/null 2>&1 && machine_skip "busybox is not static (busybox-static)"
    CACHE=$(mkdir -p "$DISKALLOC_QEMU_CACHE" && realpath "$DISKALLOC_QEMU_CACHE") || machine_die "cannot make $DISKALLOC_QEMU_CACHE"
    WORK=$(mktemp -d /var/tmp/diskalloc-qemu.XXXXXX)
    trap 'rm -rf "$WORK"' EXIT
    mkdir -p "$WORK/lab"
    KERNEL=$(find "$CACHE" -maxdepth 1 -name 'linux-image-*' | sort -V | tail -1)
    [ -n "$KERNEL" ] || { machine_fetch_kernel && KERNEL=$(find "$CACHE" -maxdepth 1 -name 'linux-image-*' | sort -V | tail -1); }
    VERSION=${KERNEL##*/linux-image-}
}

machine_bring() {
    local library
    cp "$@" "$WORK/lab/" || machine_die "cannot copy the programs"
    for library in $(ldd "$@" 2> /dev/null | sed -n 's/.*=> \(.*libdiskalloc[^ ]*\).*/\1/p' | sort -u); do cp -L "$library" "$WORK/lab/"; done
}

machine_make_initrd() {
    mkdir -p "$WORK"/initrd/{bin,proc,sys,dev,mnt,newroot,modules}
    cp "$(command -v busybox)" "$WORK/initrd/bin/busybox"
    for module in virtio_pci virtio_blk 9p 9pnet_virtio overlay; do
        modprobe -d "$KERNEL" -S "$VERSION" --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++' | while read -r file; do
        cp "$file" "$WORK/initrd/modules/"
        echo "${file##*/}" >> "$WORK/initrd/modules/order"
    done
    cat > "$WORK/initrd/init" << 'END'
#!/bin/busybox sh
b=/bin/busybox nine=trans=virtio,version=9p2000.L,msize=262144
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for m in $($b cat /modules/order); do $b insmod /modules/$m; done
$b mount -t 9p -o ro,$nine host /mnt || $b poweroff -f
$b mkdir /layer; $b mount -t tmpfs -o size=512M layer /layer; $b mkdir /layer/upper /layer/work
$b mount -t overlay -o lowerdir=/mnt,upperdir=/layer/upper,workdir=/layer/work root /newroot || $b poweroff -f
$b mkdir -p /newroot/host /newroot/lab
$b mount --move /mnt /newroot/host
for d in proc sys dev; do $b mount --move /$d /newroot/$d; done
$b mount -t tmpfs run /newroot/run; $b mount -t tmpfs tmp /newroot/tmp
$b mount -t 9p -o $nine lab /newroot/lab || $b poweroff -f
exec $b chroot /newroot /bin/bash /lab/guest
END
    chmod +x "$WORK/initrd/init"
    (cd "$WORK/initrd" && find . | cpio -o -H newc --quiet | gzip -1) > "$WORK/initrd.gz"
}

machine_write_guest() { # the script on stdin
    echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LD_LIBRARY_PATH=/lab'
    echo 'exec < /dev/null > /dev/ttyS1 2>&1; stty -F /dev/ttyS1 -opost; ln -s /proc/self/fd /dev/fd'
    echo "mkdir -p /lib/modules/$VERSION; mount --bind /host$KERNEL/lib/modules/$VERSION /lib/modules/$VERSION"
    echo '('
    cat
    # shellcheck disable=SC2016
    printf ')\n%s\n' 'echo "status $?" > /lab/status; sync; echo o > /proc/sysrq-trigger; sleep 60'
}

machine_run() {
    local seconds=$1 memory=$2 drives=() status i=0 size
    shift 2
    machine_make_initrd
    machine_write_guest > "$WORK/lab/guest"
    for size in "$@"; do
        truncate -s "$size" "$WORK/disk$i"
        drives+=(-drive "file=$WORK/disk$i,if=virtio,format=raw,cache=unsafe")
        i=$((i + 1))
    done
    timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -cpu max -m "$memory" \
        -nodefaults -display none -no-reboot -chardev stdio,id=out,signal=off -serial "file:$WORK/console" -serial chardev:out \
        -fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap -device virtio-9p-pci,fsdev=host,mount_tag=host \
        -fsdev "local,id=lab,path=$WORK/lab,security_model=none" -device virtio-9p-pci,fsdev=lab,mount_tag=lab \
        "${drives[@]}" -kernel "$KERNEL/boot/vmlinuz-$VERSION" -initrd "$WORK/initrd.gz" -append "console=ttyS0 quiet panic=-1" < /dev/null
    status=$(sed -n 's/^status //p' "$WORK/lab/status" 2> /dev/null)
    [ -n "$status" ] || { tail -n 30 "$WORK/console" >&2; machine_die "the virtual machine ended without a result"; }
    return "$status"
}
