"""Score agents on the same fixed tasks: scripts, checkpoints, models behind servers."""

import layergym as lg

AGENTS = (
    "expert",
    "random",
    "tiny",
    # "runs/middle-model",                        a checkpoint's folder, or a hub id
    # "openai:my-model@http://localhost:8000/v1", any OpenAI-compatible server
)

if __name__ == "__main__":
    spec = lg.ContestSpec(
        env="alfworld-v0",
        env_args={"max_receptacles": 8, "num_objects": 8, "max_turns": 9},
        agents=AGENTS,
        size=20,
    )
    board = lg.evaluate(spec, "runs/scores")  # Called again, it plays only what is missing.
    for row in board.rows:
        if row.score is None:
            print(f"{row.agent}: no score; {row.refused}")
        else:
            print(f"{row.agent}: {row.score.value:.0%} [{row.score.low:.0%}, {row.score.high:.0%}]")
