class Tick(exports.Tick):
    def tick(self):
        return policy.tick()
