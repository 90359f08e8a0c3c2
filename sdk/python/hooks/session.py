class Session(exports.Session):
    def open(self, client):
        decision = policy.session(client)
        return exports.session.Decision_NoOpinion() if decision is None else decision

    def closed(self, id):
        if hasattr(policy, "closed"):
            policy.closed(id)
