class Retry(exports.Retry):
    def failed(self, failure, sql, kind, digest, facts, class_):
        return policy.retry(failure, Statement(sql, kind, digest, facts, class_))
