class Rewrite(exports.Rewrite):
    def rewrite(self, sql, kind, digest, facts, class_):
        return policy.rewrite(Statement(sql, kind, digest, facts, class_))
