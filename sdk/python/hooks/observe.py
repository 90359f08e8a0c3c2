class Observe(exports.Observe):
    def statements(self, batch):
        policy.observe(batch)
