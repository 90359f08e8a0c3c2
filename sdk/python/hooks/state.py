class State(exports.State):
    def snapshot(self):
        return policy.snapshot()

    def restore(self, state):
        try:
            policy.restore(state)
        except ValueError as error:
            raise Err(str(error))
