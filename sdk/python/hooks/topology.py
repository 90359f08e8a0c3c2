class Topology(exports.Topology):
    def changed(self, epoch, nodes):
        policy.topology(epoch, nodes)
