"""Runs what is in an image of buildah's storage as a container does: from the image's own
file system, read-only, as its own user, without capabilities, with its environment."""

import json
import subprocess

# Arguments: root, then `bind SOURCE PLACE` or `tmpfs PLACE` for each mount, `--`, command.
ENTER = r"""
root=$1; shift
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for device in null zero random urandom; do
  touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"
done
while [ "$1" != -- ]; do
  case $1 in
    bind) mount --bind "$2" "$root$3"; shift 3 ;;
    tmpfs) mount -t tmpfs -o mode=1777 tmpfs "$root$2"; shift 2 ;;
  esac
done
shift
mount -o remount,bind,ro "$root"
exec chroot "$root" "$@"
"""


def buildah(*arguments):
    return subprocess.run(["buildah", *arguments], check=True, capture_output=True, text=True).stdout.strip()


class Image:
    """An image, and a container made of it whose root everything shares that is run."""

    def __init__(self, name, hosts):
        self.name = name
        self.config = json.loads(buildah("inspect", "--type", "image", name))["Docker"]["config"]
        self.container = buildah("from", "--pull-never", name)
        self.root = buildah("mount", self.container)
        self.hosts = hosts

    def remove(self):
        buildah("rm", self.container)

    @property
    def environment(self):
        return dict(entry.split("=", 1) for entry in self.config["Env"])

    @property
    def health_check(self):
        kind, *command = self.config["Healthcheck"]["Test"]
        assert kind == "CMD", self.config["Healthcheck"]
        return command

    def start(self, command=None, environment=None, binds=None, tmpfs=(), output=None):
        """Starts a program; `binds` has a folder here for a folder there."""
        if command is None:
            command = (self.config.get("Entrypoint") or []) + (self.config.get("Cmd") or [])
        self._write("etc/hosts", f"127.0.0.1 localhost {' '.join(self.hosts)}\n")
        mounts = []
        for there, here in (binds or {}).items():
            self._folder(there)
            mounts += ["bind", str(here), there]
        for there in tmpfs:
            self._folder(there)
            mounts += ["tmpfs", there]
        user, group = self.config["User"].split(":")
        # As compose and Kubernetes are told to: no capabilities, and none to be had.
        less = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"]
        less += ["--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        variables = self.environment | (environment or {})
        clean = ["env", "-i", *(f"{name}={value}" for name, value in variables.items())]
        enter = ["unshare", "--mount", "sh", "-ec", ENTER, "enter", self.root, *mounts, "--"]
        return subprocess.Popen([*enter, *less, *clean, *command], stdout=output, stderr=subprocess.STDOUT)

    def run(self, command, **options):
        """Runs a command to its end; its exit code."""
        return self.start(command, output=subprocess.DEVNULL, **options).wait()

    def _folder(self, there):
        subprocess.run(["mkdir", "-p", f"{self.root}{there}"], check=True)

    def _write(self, there, text):
        with open(f"{self.root}/{there}", "w") as file:
            file.write(text)

    @property
    def labels(self):
        return self.config["Labels"]
