"""Train three layers alone and the whole model, and see how much of the gain each recovers."""

from dataclasses import replace

import layergym as lg

if __name__ == "__main__":  # The runs are processes of their own.
    rooms = {"max_receptacles": 8, "num_objects": 8, "max_turns": 9}
    run = lg.RunSpec(env="alfworld-v0", env_args=rooms, steps=4, tasks_per_step=4)
    spec = replace(lg.every_layer(run, seeds=(0, 1)), layers=(0, 3, 7))
    lg.sweep(replace(spec, eval=lg.EvalSpec(size=40)), "runs/layers")
    for arm in lg.contributions("runs/layers"):
        print(f"{arm.arm}: gain {arm.gain.value:+.1%}, contribution {arm.contribution}")
    print("report: runs/layers/report/report.html")
