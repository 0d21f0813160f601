// SPDX-License-Identifier: GPL-3.0-or-later
// Flamenco job type: volume, simulation, bake and report of one shot. Copy it into the Manager's "scripts" folder.
//
// The steps of a shot run one after another, because contact depends on the path of the hands; shots run in parallel.

const JOB_TYPE = {
    label: "NePHIM Bake",
    description: "Simulate hands on faces, and bake the result into the file",
    settings: [
        { key: "blendfile", type: "string", required: true, visible: "web",
          description: "The shot, with head and hands chosen; the bake is saved in it" },
        { key: "frames", type: "string", required: true,
          eval: "f'{C.scene.frame_start}-{C.scene.frame_end}'",
          evalInfo: { showLinkButton: true, description: "Scene frame range" },
          description: "Frames A-B, starting before the first contact" },
        { key: "tissue", type: "string", default: "", description: "Tissue preset; empty: as in the file" },
        { key: "interaction", type: "string", default: "", description: "Interaction preset; empty: as in the file" },
        { key: "bake_to", type: "string", choices: ["shape-keys", "point-cache"], default: "shape-keys",
          description: "Form of the result" },
        { key: "tolerance", type: "float", default: 0.1, description: "Largest error of the shape keys [mm]" },
    ],
};

function compileJob(job) {
    const settings = job.settings;
    const simulate = ["simulate", "--frames", settings.frames];
    if (settings.tissue) simulate.push("--preset", settings.tissue);
    if (settings.interaction) simulate.push("--interaction", settings.interaction);
    const report = settings.blendfile.replace(/\.blend$/, "") + ".report.json";
    const steps = [
        ["volume"],
        simulate,
        ["bake", "--to", settings.bake_to, "--tolerance", String(settings.tolerance)],
        ["report", "--json", report],
    ];
    let before = null;
    for (const step of steps) {
        const task = author.Task(step[0], "blender");
        // Blender exits with the exit code of the command: a failed step fails its task.
        task.addCommand(author.Command("exec", {
            exe: "{blender}",
            args: ["-b", settings.blendfile, "--command", "nephim"].concat(step),
        }));
        if (before) task.addDependency(before);
        job.addTask(task);
        before = task;
    }
}
