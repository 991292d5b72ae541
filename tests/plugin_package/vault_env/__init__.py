import layergym as lg


class Vault(lg.TextEnv):
    """Read a code, then type it."""

    instructions = "Type the code that the note says."
    max_turns = 5

    def start(self) -> str:
        self.code = str(self.np_random.integers(1, 10))
        return f"The note says {self.code}"

    def play(self, action: str) -> lg.Outcome:
        if action == self.code:
            return lg.Outcome("The vault opens.", reward=1.0, terminated=True, success=True)
        return lg.Outcome("Nothing happens.", valid=False)
