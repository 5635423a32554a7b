// A Slurm cluster of four nodes on this machine, for as long as it is needed: Debian's slurm-wlm and munge, as root, without systemd. A second
// controller or a cluster that this machine belongs to is not touched: all files and ports are its own.
import { spawn, spawnSync } from "node:child_process";
import { createServer } from "node:net";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NODES = ["n1", "n2", "n3", "n4"];
const PROGRAMS = ["slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel"];

/** @returns why there can be no cluster here; undefined where there can */
export function whyNoSlurm() {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "it needs Linux and root";
  const missing = PROGRAMS.filter((name) => spawnSync("which", [name], { env: environment() }).status !== 0);
  return missing.length > 0 ? `${missing.join(", ")} not found: apt-get install slurm-wlm munge` : undefined;
}

const environment = () => ({ ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` });
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

/** Ports that nobody listens at, so that two clusters of this kind, and one that this machine belongs to, are not in each other's way. */
async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer();
      return new Promise((done, failed) => server.on("error", failed).listen(0, "127.0.0.1", () => done(server)));
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

function configuration(place, { requeueExit }, [controller, ...nodes]) {
  return `ClusterName=inward
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=${controller}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=${place}/run/munge.socket
CredType=cred/munge
StateSaveLocation=${place}/state
SlurmdSpoolDir=${place}/spool/%n
SlurmctldPidFile=${place}/run/slurmctld.pid
SlurmdPidFile=${place}/run/%n.pid
SlurmctldLogFile=${place}/log/slurmctld.log
SlurmdLogFile=${place}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,batch_sched_delay=0,bf_interval=1
SlurmdParameters=config_overrides
CommunicationParameters=NoAddrCache
ReturnToService=2
MpiDefault=none
KillWait=5
${requeueExit ? "RequeueExit=75\n" : ""}MinJobAge=3600
MaxArraySize=10001
InactiveLimit=0
SlurmdTimeout=10
GresTypes=gpu
${NODES.map((node, at) => `NodeName=${node} NodeHostname=localhost NodeAddr=127.0.0.1 Port=${nodes[at]} CPUs=1 RealMemory=4000 Gres=gpu:2\n`).join("")}PartitionName=ci Nodes=ALL Default=YES MaxTime=INFINITE State=UP
`;
}

/** @param options.requeueExit the site puts jobs back that end with 75 @throws where it does not come up */
export async function startCluster({ requeueExit = true } = {}) {
  const place = mkdtempSync(join(tmpdir(), "inward-slurm-"));
  for (const name of ["state", "spool", "run", "log"]) mkdirSync(join(place, name));
  for (const at of [0, 1]) spawnSync("mknod", [join(place, `gpu${at}`), "c", "1", "3"]);
  writeFileSync(join(place, "gres.conf"), `NodeName=n[1-4] Name=gpu File=${place}/gpu[0-1]\n`);
  const conf = join(place, "slurm.conf");
  writeFileSync(conf, configuration(place, { requeueExit }, await freePorts(1 + NODES.length)));
  writeFileSync(join(place, "munge.key"), randomBytes(128), { mode: 0o400 });
  const env = { ...environment(), SLURM_CONF: conf };
  const own = new Map();
  const begin = (name, command, args) => {
    const child = spawn(command, args, { env, stdio: "ignore", detached: true });
    child.unref();
    own.set(name, child);
    return child;
  };
  const munge = (file) => join(place, "run", `munge.${file}`);
  begin("munged", "munged", [
    "--force",
    "--foreground",
    `--socket=${munge("socket")}`,
    `--key-file=${join(place, "munge.key")}`,
    `--pid-file=${munge("pid")}`,
    `--log-file=${join(place, "log/munge.log")}`,
    `--seed-file=${munge("seed")}`,
  ]);
  for (let tries = 0; !existsSync(munge("socket")) && tries < 100; tries++) await wait(50);
  const daemon = {
    slurmctld: (clean) => begin("slurmctld", "slurmctld", ["-D", ...(clean ? ["-c"] : [])]),
    slurmd: (node) => begin(node, "slurmd", ["-D", "-N", node]),
  };
  daemon.slurmctld(true);
  for (const node of NODES) daemon.slurmd(node);
  const run = (program, args) => spawnSync(program, args, { env, encoding: "utf8" });
  const cluster = {
    place,
    env,
    run,
    /** pid of a daemon: slurmctld, or a node's slurmd by the node's name. */
    pidOf: (name) => own.get(name).pid,
    kill(name) {
      process.kill(own.get(name).pid, "SIGKILL");
    },
    restart: (name) => (name === "slurmctld" ? daemon.slurmctld(false) : daemon.slurmd(name)),
    async stop() {
      run("scancel", ["--user=root"]);
      await wait(300);
      for (const [, child] of [...own].reverse()) {
        try {
          process.kill(child.pid, "SIGTERM");
        } catch {}
      }
      await wait(500);
      for (const [, child] of own) {
        try {
          process.kill(child.pid, "SIGKILL");
        } catch {}
      }
      rmSync(place, { recursive: true, force: true });
    },
  };
  for (let tries = 0; tries < 100; tries++) {
    const { stdout } = run("sinfo", ["--noheader", "--format=%t %D"]);
    if (/^idle\s+4/m.test(stdout)) return cluster;
    await wait(200);
  }
  const said = existsSync(join(place, "log/slurmctld.log"))
    ? readFileSync(join(place, "log/slurmctld.log"), "utf8").slice(-2000)
    : "";
  const { stdout, stderr } = run("sinfo", []);
  await cluster.stop();
  throw new Error(`the cluster did not come up: ${stdout}${stderr}\n${said}`);
}
