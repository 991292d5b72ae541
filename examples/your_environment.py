"""An environment of your own: written, checked, played, and trained in."""

import layergym as lg


class Vault(lg.TextEnv):
    """Read a code, then type it."""

    instructions = "Type the code that the note says."
    max_turns = 5

    def start(self) -> str:
        """Begin: draw a code."""
        self.code = str(self.np_random.integers(1, 10))
        return f"The note says {self.code}"

    def play(self, action: str) -> lg.Outcome:
        """Try one code."""
        if action == self.code:
            return lg.Outcome("The vault opens.", reward=1.0, terminated=True, success=True)
        return lg.Outcome("Nothing happens.", valid=False)

    def expert(self) -> str:
        """The right action, for demonstrations and as an upper bound."""
        return self.code


lg.register("example/Vault-v0", Vault)

if __name__ == "__main__":
    print("to mend:", lg.conforms("vault-v0") or "nothing")
    spec = lg.ContestSpec(env="vault-v0", agents=("expert", "tiny"), size=20)
    for row in lg.evaluate(spec, "runs/vault").rows:
        assert row.score
        print(f"{row.agent}: {row.score.value:.0%} [{row.score.low:.0%}, {row.score.high:.0%}]")
    run = lg.RunSpec(env="vault-v0", layers="middle", steps=2, tasks_per_step=4)
    lg.train(run, "runs/vault-middle")
