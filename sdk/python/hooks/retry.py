class Retry(exports.Retry):
    def failed(self, failure, sql, kind, digest, facts, class_):
        decision = policy.retry(failure, Statement(sql, kind, digest, facts, class_))
        return exports.retry.Decision_NoOpinion() if decision is None else decision
